"""The scratch engine: networks that learn, in NumPy and nothing else, written to be read in this order.

tensor (differentiation), functions (activations, losses), network (layers, optimizers), engine, trainer.
"""
