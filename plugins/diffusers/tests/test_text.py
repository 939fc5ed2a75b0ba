"""Pipelines of the shape of Stable Diffusion: tokens, hidden states and guided draws are those of transformers and diffusers."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.errors import CapabilityError, ConfigError, TrustError, UsageError
from zoo_core.rng import ImageRng
from zoo_diffusers.tokenizer import END, START, BytePairs, _bytes, table_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("transformers")
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

LENGTH, STEPS = 20, 5
PROMPTS = ["A red seven", "blue; it's 42 naïve cats"]
MERGES = [["r", "e"], ["re", "d</w>"], ["b", "l"], ["bl", "u"], ["blu", "e</w>"], ["s", "e"], ["i", "t</w>"], ["c", "a"]]
Write = Callable[..., Path]


def vocabulary() -> dict[str, int]:
    letters = list(_bytes().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in MERGES), START, END]
    return {token: number for number, token in enumerate(tokens)}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return CLIPTokenizer(vocab=vocabulary(), merges=[tuple(pair) for pair in MERGES], model_max_length=LENGTH)


@pytest.fixture(scope="module")
def parts(tokenizer: Any) -> dict[str, Any]:
    """The components of a tiny random pipeline."""
    count = len(vocabulary())
    options = CLIPTextConfig(
        vocab_size=count,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=count - 2,
        eos_token_id=count - 1,
        pad_token_id=count - 1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=4,
            block_out_channels=(8, 8),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=8,
            attention_head_dim=4,
            layers_per_block=1,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
        )
        encoder = CLIPTextModel(options)
        with torch.no_grad():
            for value in encoder.parameters():  # larger than at first, so that texts matter
                value.add_(0.3 * torch.randn(value.shape))
    return {"unet": unet.eval(), "vae": vae.eval(), "text_encoder": encoder.eval(), "tokenizer": tokenizer}


@pytest.fixture
def pipeline(parts: dict[str, Any], tmp_path: Path) -> Write:
    def write(scheduler: Any) -> Path:
        folder = tmp_path / "tiny"
        index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False, "safety_checker": [None, None]}
        for key, part in {**parts, "scheduler": scheduler}.items():
            part.save_pretrained(folder / key)
            library = "transformers" if key in ("text_encoder", "tokenizer") else "diffusers"
            index[key] = [library, type(part).__name__]
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder

    return write


@torch.no_grad()
def hidden(parts: dict[str, Any], prompts: list[str]) -> Tensor:
    """What the pipeline computes of prompts."""
    ids = parts["tokenizer"](prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
    states: Tensor = parts["text_encoder"](ids)[0]
    return states


@torch.no_grad()
def theirs(parts: dict[str, Any], scheduler: Any, guidance: float, seed: int) -> Tensor:
    """The loop of StableDiffusionPipeline, from the noise of images 0 and 1."""
    scheduler.set_timesteps(STEPS)
    states = torch.cat([hidden(parts, ["", ""]), hidden(parts, PROMPTS)])
    x = ImageRng(seed=seed, images=range(2)).normal(4, 4, 4) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        doubled = scheduler.scale_model_input(torch.cat([x, x]), t)
        without, given = parts["unet"](doubled, t, encoder_hidden_states=states).sample.chunk(2)
        x = scheduler.step(without + guidance * (given - without), t, x).prev_sample
    image: Tensor = parts["vae"].decode(x / parts["vae"].config.scaling_factor).sample
    return image.clamp(-1, 1)


def test_tokens_are_those_of_transformers(tokenizer: Any) -> None:
    pairs = BytePairs(**json.loads(table_of(vocabulary(), MERGES)), pad=vocabulary()[END], length=60)
    for text in (*PROMPTS, "", "   The\n\tRED  re red. blue!!! it's we'll ½ ¡año! 東京 👍", "seven;blue"):
        expected = tokenizer(text, padding="max_length", max_length=60, truncation=True).input_ids
        assert pairs.ids(text) == expected, text
    with pytest.raises(UsageError, match="has 59 tokens, and the text encoder takes 58"):
        pairs.ids("1" * 59)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_hidden_states_are_those_of_transformers(act: str, parts: dict[str, Any], pipeline: Write) -> None:
    folder = pipeline(DDIMScheduler(clip_sample=False))
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_act": act}))
    net: Any = zoo_core.load(f"diffusers:{folder}").model
    other = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    torch.testing.assert_close(net.prompt_conditions(PROMPTS), hidden({**parts, "text_encoder": other}, PROMPTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("scheduler", "guidance"),
    [
        (DDIMScheduler(clip_sample=False, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012), 7.5),
        (DPMSolverMultistepScheduler(prediction_type="v_prediction"), 3.0),
    ],
    ids=["ddim", "dpmpp-2m of v"],
)
def test_a_guided_draw_is_that_of_the_pipeline(scheduler: Any, guidance: float, parts: dict[str, Any], pipeline: Write) -> None:
    model = zoo_core.load(f"diffusers:local:{pipeline(scheduler)}")
    assert model.capabilities == {"latent", "encode", "condition"}
    assert (model.event.shape, model.event.range) == ((3, 8, 8), (-1.0, 1.0))
    got = model.sample(prompts=PROMPTS, guidance=guidance, seed=4, steps=STEPS)
    torch.testing.assert_close(got, theirs(parts, scheduler, guidance, seed=4), rtol=0, atol=1e-4)
    states = hidden(parts, PROMPTS)
    again = model.sample(condition=states, guidance=guidance, seed=4, steps=STEPS)
    torch.testing.assert_close(got, again, rtol=0, atol=1e-4)


def test_without_a_prompt_the_text_is_empty(pipeline: Write) -> None:
    model = zoo_core.load(f"diffusers:{pipeline(DDIMScheduler(clip_sample=False))}")
    plain = model.sample(1, seed=2, steps=2)
    torch.testing.assert_close(plain, model.sample(1, prompts="", seed=2, steps=2), rtol=0, atol=1e-5)
    assert (plain - model.sample(1, prompts="red", seed=2, steps=2)).abs().max() > 1e-4
    with pytest.raises(UsageError, match="guidance needs a condition"):
        model.sample(1, guidance=2.0)
    with pytest.raises(UsageError, match="the text encoder takes 18"):
        model.sample(1, prompts="1" * 19)


def test_the_tables_may_be_vocab_and_merges(parts: dict[str, Any], pipeline: Write) -> None:
    folder = pipeline(DDIMScheduler(clip_sample=False))
    expected = zoo_core.load(f"diffusers:{folder}").model.prompt_conditions(PROMPTS)  # type: ignore[operator]
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, MERGES), ""]))
    model: Any = zoo_core.load(f"diffusers:{folder}").model
    assert torch.equal(model.prompt_conditions(PROMPTS), expected)
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    with pytest.raises(ConfigError, match="the tokenizer's tables are not those of CLIP"):
        zoo_core.load(f"diffusers:{folder}")
    (folder / "tokenizer" / "vocab.json").unlink()
    with pytest.raises(TrustError, match=r"it has no tokenizer/vocab\.json"):
        zoo_core.load(f"diffusers:{folder}")


def test_more_than_one_text_encoder_is_not_read(pipeline: Write) -> None:
    folder = pipeline(DDIMScheduler())
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}))
    with pytest.raises(ConfigError, match="the bridge reads one text encoder and no text_encoder_2"):
        zoo_core.load(f"diffusers:{folder}")
    (folder / "model_index.json").write_text(json.dumps(index))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "addition_embed_type": "text_time"}))
    with pytest.raises(ConfigError, match="addition_embed_type asks for more than the hidden states of a text"):
        zoo_core.load(f"diffusers:{folder}")


def test_a_model_without_texts_says_so(written: Write) -> None:
    model = zoo_core.load(f"diffusers:{written(DDIMScheduler())}")
    with pytest.raises(CapabilityError, match="tiny cannot take prompts: it is not conditioned on texts"):
        model.sample(1, prompts="a cat")
