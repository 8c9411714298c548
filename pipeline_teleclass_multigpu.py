"""The older name of the pipeline, for scripts that import it."""

from teleclass.pipeline import TELEClassPipeline as MultiGPUTELEClassPipeline

__all__ = ["MultiGPUTELEClassPipeline"]
