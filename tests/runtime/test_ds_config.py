import copy
import json
from pathlib import Path

import pytest

from teleclass.errors import InputError
from teleclass.runtime.ds_config import DEFAULT_FILE, batch_sizes, read_ds_config, resolve_ds_config

ROOT = Path(__file__).parent.parent.parent


def everything(_precision):
    return True


def nothing(_precision):
    return False


def resolve(content, *, world_size=1, total_steps=100, supports=everything, path=None):
    return resolve_ds_config(content, world_size=world_size, total_steps=total_steps, supports=supports, path=path)


def write(tmp_path, content):
    file = tmp_path / "ds.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return file


@pytest.mark.parametrize("file", [DEFAULT_FILE, ROOT / "ds_config.json"], ids=["in the package", "in the checkout"])
def test_the_shipped_file_resolves_to_what_it_says(file):
    resolved = resolve(read_ds_config(file), world_size=2, total_steps=250)
    assert (resolved.micro_batch, resolved.accumulation) == (16, 1)
    assert (resolved.precision_asked, resolved.precision_used) == ("fp16", "fp16")
    assert resolved.optimizer["type"] == "AdamW"
    assert resolved.optimizer["params"] == {"lr": 5e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
    # a tenth of 250 steps warms up, to the optimizer's own rate
    assert resolved.config["scheduler"]["params"] == {
        "warmup_min_lr": 0,
        "warmup_max_lr": 5e-5,
        "warmup_num_steps": 25,
        "total_num_steps": 250,
        "warmup_type": "linear",
    }
    assert "optimizer" not in resolved.config
    assert resolved.config["zero_optimization"]["stage"] == 1
    assert resolved.config["fp16"]["initial_scale_power"] == 16
    assert '"auto"' not in json.dumps(resolved.config)


@pytest.mark.parametrize(("world_size", "on_gpu", "overlaps"), [(2, True, True), (1, True, False), (2, False, False)])
def test_gradients_are_reduced_during_the_backward_pass_where_there_is_a_gpu_and_another_rank(
    world_size, on_gpu, overlaps
):
    resolved = resolve_ds_config(
        read_ds_config(DEFAULT_FILE), world_size=world_size, total_steps=9, supports=everything, on_gpu=on_gpu
    )
    assert resolved.config["zero_optimization"]["overlap_comm"] is overlaps


def test_deepspeed_itself_takes_the_resolved_shipped_file(monkeypatch):
    """World size 1, as no process group is started here; DeepSpeed fills in the total: 16 × 1 × 1."""
    from teleclass.runtime.distributed import import_deepspeed

    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    import_deepspeed()
    from deepspeed.runtime.config import DeepSpeedConfig

    taken = DeepSpeedConfig(resolve(read_ds_config(DEFAULT_FILE)).config)
    assert (taken.train_batch_size, taken.train_micro_batch_size_per_gpu) == (16, 16)
    assert taken.float16_config.enabled
    assert taken.zero_optimization_stage == 1
    assert taken.scheduler_params["warmup_num_steps"] == 10


def test_every_auto_that_is_known_is_filled_in():
    content = {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {"stage": "auto"},
        "optimizer": {
            "type": "Adam",
            "params": {"lr": 3e-4, "betas": "auto", "eps": "auto", "weight_decay": "auto"},
        },
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": dict.fromkeys(["warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "total_num_steps"], "auto"),
        },
        "fp16": {"enabled": "auto", "initial_scale_power": "auto", "hysteresis": 3},
    }
    resolved = resolve(content, total_steps=44, supports=lambda precision: precision == "fp16")
    assert resolved.config == {
        "train_micro_batch_size_per_gpu": 16,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "zero_optimization": {"stage": 1},
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {
                "warmup_min_lr": 0.0,
                "warmup_max_lr": 3e-4,  # the optimizer's
                "warmup_num_steps": 4,  # 4.4
                "total_num_steps": 44,
            },
        },
        "fp16": {"enabled": True, "hysteresis": 3},  # DeepSpeed's own default for the automatic power
        "steps_per_print": 10**9,
    }
    assert resolved.optimizer == {
        "type": "Adam",
        "params": {"lr": 3e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    }


def test_a_short_training_warms_up_for_one_step_at_least():
    resolved = resolve(read_ds_config(DEFAULT_FILE), total_steps=3)
    assert resolved.config["scheduler"]["params"]["warmup_num_steps"] == 1


@pytest.mark.parametrize("content", [{}, {"optimizer": {"params": {"lr": 1e-3}}}, {"optimizer": {"type": "AdamW"}}])
def test_an_optimizer_that_is_left_out_or_half_given_takes_the_defaults(tmp_path, content):
    resolved = resolve(read_ds_config(write(tmp_path, content)))
    given = content.get("optimizer", {}).get("params", {})
    defaults = {"lr": 5e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
    assert resolved.optimizer == {"type": "AdamW", "params": defaults | given}


def test_values_that_are_given_stay():
    content = {
        "gradient_clipping": 0.5,
        "steps_per_print": 7,
        "zero_optimization": {"stage": 2},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0}},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": 0.2, "warmup_num_steps": 33}},
    }
    resolved = resolve(content, total_steps=1000)
    kept = {name: resolved.config[name] for name in content if name != "optimizer"}
    assert kept == {name: content[name] for name in content if name != "optimizer"}
    assert resolved.optimizer == content["optimizer"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"scheduler": {"type": "Other", "params": {"cos_min_ratio": "auto"}}}, "scheduler.params.cos_min_ratio"),
        ({"zero_optimization": {"stage": 1, "reduce_bucket_size": "auto"}}, "zero_optimization.reduce_bucket_size"),
        ({"steps_per_print": "auto"}, "steps_per_print"),
    ],
)  # fmt: skip
def test_an_auto_that_nobody_can_fill_in_names_its_place(content, place):
    with pytest.raises(InputError, match=f'"auto" is not known for {place};'):
        resolve(content, path=Path("my.json"))


def test_the_content_that_was_read_is_not_changed():
    content = read_ds_config(DEFAULT_FILE) | {"train_batch_size": 32}
    content["zero_optimization"]["stage"] = "auto"
    before = copy.deepcopy(content)
    for supports in (everything, nothing):
        resolve(content, world_size=2, supports=supports)
    assert content == before


BATCH = "train_micro_batch_size_per_gpu"
STEPS = "gradient_accumulation_steps"
TOTAL = "train_batch_size"


@pytest.mark.parametrize(
    ("content", "world_size", "expected"),
    [
        ({}, 4, (16, 1)),
        ({BATCH: 8}, 4, (8, 1)),
        ({STEPS: 3}, 4, (16, 3)),
        ({BATCH: 8, STEPS: 3}, 4, (8, 3)),
        ({TOTAL: 64}, 1, (64, 1)),  # 64 / (1 step × 1 rank)
        ({TOTAL: 64}, 4, (16, 1)),  # 64 / (1 step × 4 ranks)
        ({TOTAL: 64, STEPS: 2}, 4, (8, 2)),  # 64 / (2 × 4)
        ({TOTAL: 64, BATCH: 4}, 4, (4, 4)),  # 64 / (4 × 4)
        ({TOTAL: 64, BATCH: 4, STEPS: 8}, 2, (4, 8)),
        ({TOTAL: "auto", BATCH: 4, STEPS: "auto"}, 2, (4, 1)),
    ],
)
def test_batch_sizes_follow_from_each_other(content, world_size, expected):
    assert batch_sizes(content, world_size) == expected


@pytest.mark.parametrize(
    ("content", "world_size", "numbers"),
    [
        ({TOTAL: 64, BATCH: 16, STEPS: 1}, 2, "64 is not 16 documents × 1 accumulation steps × 2 ranks"),
        ({TOTAL: 10, BATCH: 4}, 1, "10 is not 4 documents × 2 accumulation steps × 1 ranks"),
        ({TOTAL: 7}, 2, "7 is not 3 documents × 1 accumulation steps × 2 ranks"),
        ({TOTAL: 3, STEPS: 2}, 4, "3 is not 1 documents × 2 accumulation steps × 4 ranks"),
        ({TOTAL: 8, BATCH: 16}, 1, "8 is not 16 documents × 1 accumulation steps × 1 ranks"),
    ],
)
def test_a_contradicting_total_names_the_numbers_and_the_file(content, world_size, numbers):
    with pytest.raises(InputError) as caught:
        batch_sizes(content, world_size, Path("my.json"))
    assert str(caught.value).startswith(f"my.json: train_batch_size {numbers};")


@pytest.mark.parametrize("name", [BATCH, STEPS, TOTAL])
@pytest.mark.parametrize("value", [0, -4, 2.5, "16", None, [16], True])
def test_a_batch_size_that_is_no_whole_number_above_zero_is_named(name, value):
    with pytest.raises(InputError) as caught:
        batch_sizes({name: value}, 1)
    assert str(caught.value).startswith(f"{name} must be a whole number above 0")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"train_micro_batch_size": 4}, "'train_micro_batch_size'; did you mean 'train_micro_batch_size_per_gpu'?"),
        ({"gradient_cliping": 1}, "unknown key 'gradient_cliping'; did you mean 'gradient_clipping'?"),
        ({"optimiser": {}}, "unknown key 'optimiser'; did you mean 'optimizer'?"),
        ({"xyzzy": 1}, "unknown key 'xyzzy'"),
        ({"zero_optimization": {"stage": 3}}, "zero_optimization.stage 3 is not supported; use 0, 1 or 2"),
        ({"zero_optimization": {"stage": -1}}, "zero_optimization.stage -1 is not supported"),
        ({"zero_optimization": {"stage": "2"}}, "zero_optimization.stage '2' is not supported"),
        ({"optimizer": {"type": "Lamb"}}, "optimizer.type 'Lamb' is not supported; use Adam or AdamW"),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": True}}, "fp16 and bf16 are both enabled"),
        ([1, 2], "expected one JSON object"),
        ("text", "expected one JSON object"),
        ({"fp16": True}, "fp16"),
        ({"bf16": None}, "bf16"),
        ({"zero_optimization": 2}, "zero_optimization"),
        ({"optimizer": "AdamW"}, "optimizer"),
        ({"optimizer": {"type": "AdamW", "params": 5e-5}}, "optimizer.params"),
        ({"scheduler": "WarmupLR"}, "scheduler"),
        ({"scheduler": {"type": "WarmupLR", "params": None}}, "scheduler.params"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_told_with_the_file(tmp_path, content, says):
    file = write(tmp_path, json.dumps(content))
    with pytest.raises(InputError) as caught:
        resolve(read_ds_config(file), path=file)
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)


def test_an_unknown_key_far_from_every_known_one_gets_no_hint(tmp_path):
    with pytest.raises(InputError) as caught:
        read_ds_config(write(tmp_path, {"xyzzy": 1}))
    assert "did you mean" not in str(caught.value)


def test_an_unknown_optimizer_parameter_names_the_known_ones():
    with pytest.raises(InputError, match=r"optimizer\.params\.momentum .* lr, betas, eps, weight_decay"):
        resolve({"optimizer": {"type": "Adam", "params": {"momentum": 0.9}}})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n  "seed": 1,\n  "bf16": {"enabled": true,}\n}', 3),
        ('{\n  "seed": 1\n  "fp16": {}\n}', 3),
        ("", 1),
        ("# a comment\n{}", 1),
    ],
    ids=["comma at the end", "comma missing", "empty", "comment"],
)
def test_broken_json_names_the_file_and_the_line(tmp_path, text, line):
    file = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_ds_config(file)
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert str(caught.value).startswith(f"{file}, line {line}: is not valid JSON")


def test_a_missing_file_names_the_option(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json: the file does not exist.*--deepspeed_config"):
        read_ds_config(tmp_path / "nowhere.json")


def test_a_folder_or_another_encoding_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_ds_config(tmp_path)
    file = tmp_path / "latin.json"
    file.write_bytes('{"seed": "ä"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.json: cannot be read"):
        read_ds_config(file)


ON, OFF, AUTO = {"enabled": True}, {"enabled": False}, {"enabled": "auto"}
BOTH, FP16, BF16, NEITHER = ("fp16", "bf16"), ("fp16",), ("bf16",), ()


@pytest.mark.parametrize(
    ("sections", "device", "asked", "used"),
    [
        ({"fp16": ON}, BOTH, "fp16", "fp16"),
        ({"fp16": ON}, FP16, "fp16", "fp16"),
        ({"fp16": ON}, BF16, "fp16", "bf16"),
        ({"fp16": ON}, NEITHER, "fp16", "fp32"),
        ({"bf16": ON}, BOTH, "bf16", "bf16"),
        ({"bf16": ON}, BF16, "bf16", "bf16"),
        ({"bf16": ON}, FP16, "bf16", "fp32"),  # fp16 has a smaller range: what trained in bf16 may overflow
        ({"bf16": ON}, NEITHER, "bf16", "fp32"),
        ({"fp16": AUTO}, BOTH, "auto", "bf16"),
        ({"bf16": AUTO}, FP16, "auto", "fp16"),
        ({"fp16": AUTO, "bf16": AUTO}, BF16, "auto", "bf16"),
        ({"fp16": AUTO, "bf16": AUTO}, NEITHER, "auto", "fp32"),
        ({"fp16": ON, "bf16": AUTO}, BOTH, "fp16", "fp16"),
        ({"fp16": OFF, "bf16": ON}, BOTH, "bf16", "bf16"),
        ({"fp16": OFF, "bf16": OFF}, BOTH, "fp32", "fp32"),
        ({"fp16": {}}, BOTH, "fp32", "fp32"),
        ({}, BOTH, "fp32", "fp32"),
        ({}, NEITHER, "fp32", "fp32"),
    ],
)
def test_the_precision_steps_down_to_what_the_device_has(sections, device, asked, used):
    resolved = resolve(sections, supports=lambda precision: precision in device)
    assert (resolved.precision_asked, resolved.precision_used) == (asked, used)
    enabled = [name for name in ("fp16", "bf16") if resolved.config.get(name, OFF)["enabled"] is True]
    assert enabled == [name for name in (used,) if name != "fp32"]


def test_fp16_settings_do_not_follow_into_bf16():
    resolved = resolve({"fp16": {"enabled": True, "loss_scale": 0}}, supports=lambda precision: precision == "bf16")
    assert resolved.config["bf16"] == {"enabled": True}
    assert "fp16" not in resolved.config
