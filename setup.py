"""Only what pyproject.toml cannot say; see packaging/compiling.py."""

from compiling import setup_arguments
from setuptools import setup

setup(**setup_arguments())
