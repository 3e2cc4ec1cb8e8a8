"""Errors that a person can act on. The text is one sentence that names the place and a cure."""


class Error(Exception):
    """Every error of evenflow's own."""


class UsageError(Error, ValueError):
    """The request is wrong: an argument, a configuration key, a device that is not there."""


class DataError(Error, ValueError):
    """The data are wrong: a damaged file, samples that are not finite, a full disk."""


class MissingFileError(DataError, FileNotFoundError):
    """A file that was to be read does not exist."""
