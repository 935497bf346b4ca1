"""Do implementations of an experiment agree, are its gradients right, and which classic mistake is it.

Importing the package loads nothing: a command imports the module that it needs.
"""
