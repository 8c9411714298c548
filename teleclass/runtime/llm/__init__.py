"""The language model: an OpenAI-compatible server or a model in this process, with kept answers and a budget."""

from teleclass.runtime.llm.answers import AnswerFile
from teleclass.runtime.llm.client import LanguageModel, check_llm
from teleclass.runtime.llm.config import LlmConfig, llm_print
from teleclass.runtime.llm.request import Completion, Request
from teleclass.runtime.llm.usage import Usage

__all__ = ["AnswerFile", "Completion", "LanguageModel", "LlmConfig", "Request", "Usage", "check_llm", "llm_print"]
