"""The trainer above the engines: new and resumed runs, trained, saved and measured."""
