"""Contains all the data models used in inputs/outputs"""

from .acceptance import Acceptance
from .api_key import ApiKey
from .audit_entry import AuditEntry
from .box_region import BoxRegion
from .cf_mapper import CfMapper
from .cf_mapper_kind import CfMapperKind
from .cf_mapper_preset import CfMapperPreset
from .clip_input import ClipInput
from .clip_nce import ClipNce
from .clip_nce_kind import ClipNceKind
from .clip_nce_preset import ClipNcePreset
from .count import Count
from .created_api_key import CreatedApiKey
from .dataset import Dataset
from .dataset_masks import DatasetMasks
from .decision import Decision
from .detail import Detail
from .device_memory import DeviceMemory
from .directional import Directional
from .directional_kind import DirectionalKind
from .directional_preset import DirectionalPreset
from .duplicate import Duplicate
from .early_stop import EarlyStop
from .edit_result import EditResult
from .edit_result_metrics import EditResultMetrics
from .edit_spec import EditSpec
from .edit_yield import EditYield
from .edit_yield_reasons import EditYieldReasons
from .encoder_inversion import EncoderInversion
from .encoder_inversion_kind import EncoderInversionKind
from .eta import Eta
from .floored_query import FlooredQuery
from .floored_query_form import FlooredQueryForm
from .frame import Frame
from .get_openapi_response_200 import GetOpenapiResponse200
from .get_record_response_200 import GetRecordResponse200
from .held_task import HeldTask
from .hybrid_inversion import HybridInversion
from .hybrid_inversion_kind import HybridInversionKind
from .job import Job
from .job_event import JobEvent
from .job_limits import JobLimits
from .job_seal import JobSeal
from .job_seals import JobSeals
from .job_spec import JobSpec
from .job_state import JobState
from .keys import Keys
from .latent_space import LatentSpace
from .layers import Layers
from .limits import Limits
from .list_pairs_verdict import ListPairsVerdict
from .list_results_verdict import ListResultsVerdict
from .list_tasks_state import ListTasksState
from .mapper_network import MapperNetwork
from .mapper_text import MapperText
from .mask_conflict import MaskConflict
from .mask_region import MaskRegion
from .named_tasks import NamedTasks
from .negatives import Negatives
from .new_api_key import NewApiKey
from .new_dataset import NewDataset
from .new_pack import NewPack
from .new_source import NewSource
from .new_source_labels import NewSourceLabels
from .new_source_masks import NewSourceMasks
from .new_sources import NewSources
from .new_upload import NewUpload
from .new_uploads import NewUploads
from .normalised_query import NormalisedQuery
from .normalised_query_form import NormalisedQueryForm
from .numeric_mode import NumericMode
from .numeric_switches import NumericSwitches
from .optimiser import Optimiser
from .optimising_inversion import OptimisingInversion
from .optimising_inversion_kind import OptimisingInversionKind
from .output import Output
from .output_format import OutputFormat
from .outside import Outside
from .pack import Pack
from .page_api_key import PageApiKey
from .page_audit_entry import PageAuditEntry
from .page_dataset import PageDataset
from .page_edit_result import PageEditResult
from .page_job import PageJob
from .page_pack import PagePack
from .page_pair import PagePair
from .page_project import PageProject
from .page_source import PageSource
from .page_task import PageTask
from .page_worker import PageWorker
from .pair import Pair
from .pair_labels import PairLabels
from .pivotal_inversion import PivotalInversion
from .pivotal_inversion_kind import PivotalInversionKind
from .pixel_norm_axis import PixelNormAxis
from .precision import Precision
from .problem import Problem
from .progress import Progress
from .project import Project
from .reason import Reason
from .reason_count import ReasonCount
from .refinement import Refinement
from .reject_reason import RejectReason
from .retried import Retried
from .retry import Retry
from .review import Review
from .rotate_api_key import RotateApiKey
from .schedule import Schedule
from .scope import Scope
from .sealed_file import SealedFile
from .selection import Selection
from .selection_having import SelectionHaving
from .selection_without import SelectionWithout
from .set_limits import SetLimits
from .set_project import SetProject
from .set_review import SetReview
from .signed_companion import SignedCompanion
from .signing_key import SigningKey
from .source import Source
from .source_labels import SourceLabels
from .source_masks import SourceMasks
from .sources_added import SourcesAdded
from .stage import Stage
from .stage_progress import StageProgress
from .stall import Stall
from .strength_search import StrengthSearch
from .styleclip import Styleclip
from .styleclip_kind import StyleclipKind
from .styleclip_mapper import StyleclipMapper
from .styleclip_mapper_kind import StyleclipMapperKind
from .styleclip_mapper_preset import StyleclipMapperPreset
from .styleclip_preset import StyleclipPreset
from .task import Task
from .tasks_cancelled import TasksCancelled
from .tasks_paused import TasksPaused
from .tasks_resumed import TasksResumed
from .template_set import TemplateSet
from .upload import Upload
from .upload_headers import UploadHeaders
from .uploads import Uploads
from .verdict import Verdict
from .view_sharing import ViewSharing
from .who_am_i import WhoAmI
from .worker import Worker

__all__ = (
    "Acceptance",
    "ApiKey",
    "AuditEntry",
    "BoxRegion",
    "CfMapper",
    "CfMapperKind",
    "CfMapperPreset",
    "ClipInput",
    "ClipNce",
    "ClipNceKind",
    "ClipNcePreset",
    "Count",
    "CreatedApiKey",
    "Dataset",
    "DatasetMasks",
    "Decision",
    "Detail",
    "DeviceMemory",
    "Directional",
    "DirectionalKind",
    "DirectionalPreset",
    "Duplicate",
    "EarlyStop",
    "EditResult",
    "EditResultMetrics",
    "EditSpec",
    "EditYield",
    "EditYieldReasons",
    "EncoderInversion",
    "EncoderInversionKind",
    "Eta",
    "FlooredQuery",
    "FlooredQueryForm",
    "Frame",
    "GetOpenapiResponse200",
    "GetRecordResponse200",
    "HeldTask",
    "HybridInversion",
    "HybridInversionKind",
    "Job",
    "JobEvent",
    "JobLimits",
    "JobSeal",
    "JobSeals",
    "JobSpec",
    "JobState",
    "Keys",
    "LatentSpace",
    "Layers",
    "Limits",
    "ListPairsVerdict",
    "ListResultsVerdict",
    "ListTasksState",
    "MapperNetwork",
    "MapperText",
    "MaskConflict",
    "MaskRegion",
    "NamedTasks",
    "Negatives",
    "NewApiKey",
    "NewDataset",
    "NewPack",
    "NewSource",
    "NewSourceLabels",
    "NewSourceMasks",
    "NewSources",
    "NewUpload",
    "NewUploads",
    "NormalisedQuery",
    "NormalisedQueryForm",
    "NumericMode",
    "NumericSwitches",
    "Optimiser",
    "OptimisingInversion",
    "OptimisingInversionKind",
    "Output",
    "OutputFormat",
    "Outside",
    "Pack",
    "PageApiKey",
    "PageAuditEntry",
    "PageDataset",
    "PageEditResult",
    "PageJob",
    "PagePack",
    "PagePair",
    "PageProject",
    "PageSource",
    "PageTask",
    "PageWorker",
    "Pair",
    "PairLabels",
    "PivotalInversion",
    "PivotalInversionKind",
    "PixelNormAxis",
    "Precision",
    "Problem",
    "Progress",
    "Project",
    "Reason",
    "ReasonCount",
    "Refinement",
    "RejectReason",
    "Retried",
    "Retry",
    "Review",
    "RotateApiKey",
    "Schedule",
    "Scope",
    "SealedFile",
    "Selection",
    "SelectionHaving",
    "SelectionWithout",
    "SetLimits",
    "SetProject",
    "SetReview",
    "SignedCompanion",
    "SigningKey",
    "Source",
    "SourceLabels",
    "SourceMasks",
    "SourcesAdded",
    "Stage",
    "StageProgress",
    "Stall",
    "StrengthSearch",
    "Styleclip",
    "StyleclipKind",
    "StyleclipMapper",
    "StyleclipMapperKind",
    "StyleclipMapperPreset",
    "StyleclipPreset",
    "Task",
    "TasksCancelled",
    "TasksPaused",
    "TasksResumed",
    "TemplateSet",
    "Upload",
    "UploadHeaders",
    "Uploads",
    "Verdict",
    "ViewSharing",
    "WhoAmI",
    "Worker",
)
