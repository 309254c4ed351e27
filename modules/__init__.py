"""The pipeline modules that come with flexipy, one file each; see docs/writing-a-module.md for your own."""
