"""Counterfactory from Python: submit counterfactual edits of images, follow them, and prove where each output came from.

>>> from counterfactory import Client
>>> job = Client().submit(images="faces", edits=["a face with green hair"], method="clip-nce").wait()
>>> job.results().preview()
"""

from counterfactory._api import models
from counterfactory._api.models import Dataset, Pack, Progress, Task
from counterfactory._api.models import EditSpec as Edit
from counterfactory.client import Client, JobOptions
from counterfactory.errors import (
    ApiError,
    ConflictError,
    CounterfactoryError,
    ForbiddenError,
    InvalidRequestError,
    MissingExtraError,
    NotAuthenticError,
    NotFoundError,
    ServerError,
    SettingsError,
    UnauthenticatedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from counterfactory.job import Job
from counterfactory.results import Result, Results
from counterfactory.verify import Finding, Level, Report, Reports

__all__ = [
    "ApiError",
    "Client",
    "ConflictError",
    "CounterfactoryError",
    "Dataset",
    "Edit",
    "Finding",
    "ForbiddenError",
    "InvalidRequestError",
    "Job",
    "JobOptions",
    "Level",
    "MissingExtraError",
    "NotAuthenticError",
    "NotFoundError",
    "Pack",
    "Progress",
    "Report",
    "Reports",
    "Result",
    "Results",
    "ServerError",
    "SettingsError",
    "Task",
    "UnauthenticatedError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "models",
]
