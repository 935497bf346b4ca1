"""The scratch engine: networks that learn, in NumPy and nothing else, written to be read in this order.

tensor (differentiation), functions, losses, layers, optimizers, by_hand (without chapter 1), engine.
"""
