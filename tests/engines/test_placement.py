"""A pipeline is placed by the memory that is there, and by ever cheaper plans when it runs out. No GPU is needed: a
device that is pretended to be one computes on the processor."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines.base import EngineInfo
from eraser.engines.loading import Loading
from eraser.errors import EngineError, MissingExtra, OutOfMemory

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import devices, placement, quantising  # noqa: E402
from eraser.engines.crew import Crew  # noqa: E402
from eraser.engines.devices import CPU, Device  # noqa: E402
from eraser.engines.gate import Gate  # noqa: E402
from eraser.engines.latent import LatentEngine  # noqa: E402
from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.memory_needs import GB, Needs, decoding, drawing, needs  # noqa: E402
from eraser.engines.painter import Painter, Scene, Wish  # noqa: E402
from eraser.engines.placement import Placed, Plan, ladder, persistent  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SCENE = Scene(np.zeros((32, 32, 3), np.float32), np.pad(np.ones((12, 12), bool), 10), 32, 32)
ALL_PACKAGES = quantising.PACKAGES
INFO = EngineInfo(name="latent", summary="", licence="", takes_prompt=True)


def pretended(free: float, *, shares_memory: bool = False, name: str = "GPU (pretended)") -> Device:
    """A GPU with so many GB free that computes on the processor."""
    return Device("cpu", name, lambda: int(free * GB), shares_memory)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sd(tmp_path_factory) -> Loading:
    return Loading(str(made.stable_diffusion(tmp_path_factory.mktemp("placement") / "sd")), "folder")


@pytest.fixture(autouse=True)
def without_quantising(monkeypatch):
    monkeypatch.setattr(quantising, "PACKAGES", {})


@pytest.fixture(autouse=True)
def processor_without_a_number(monkeypatch):
    """diffusers numbers every device, and torch copies tensors from cpu to cpu:0 although they are the same."""
    import accelerate

    offload = accelerate.cpu_offload
    monkeypatch.setattr(accelerate, "cpu_offload", lambda model, _, **more: offload(model, torch.device("cpu"), **more))


def run(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen


def drawn(painter: Painter, seed: int = 1) -> np.ndarray:
    wish = (SCENE, Wish("a door", "fog", (seed,), 0.99), Options(steps=3, guidance=2.0))
    return run(persistent(painter.placed, lambda: painter.steps(*wish)))[0]


@pytest.fixture(scope="module")
def plain(sd) -> np.ndarray:
    return drawn(Painter(sd))


# --- devices ----------------------------------------------------------------------------------------------------------


class Library:
    """As torch.cuda and torch.xpu are."""

    def __init__(self, *names: str, bf16: bool = True) -> None:
        self.names, self.bf16 = names, bf16

    def is_available(self) -> bool:
        return bool(self.names)

    def device_count(self) -> int:
        return len(self.names)

    def get_device_name(self, number: int) -> str:
        return self.names[number]

    def mem_get_info(self, number: int) -> tuple[int, int]:
        return (number + 1) * GB, 8 * GB

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return self.bf16 or including_emulation

    def device(self, name: str):
        import contextlib

        assert name.startswith(("cuda:", "xpu:"))
        return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("kind", "hip", "maker"), [("cuda", None, "CUDA"), ("cuda", "6.4.1", "ROCm"), ("xpu", None, "XPU")]
)
def test_gpus_are_listed_with_their_makers_and_their_free_memory(monkeypatch, kind, hip, maker):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch, kind, Library("Card", "Other"))
    found = devices.wanted("auto")
    assert [device.torch for device in found] == [f"{kind}:0", f"{kind}:1"]
    assert found[0].name == f"GPU (Card, {maker})"
    assert [device.free() for device in found] == [GB, 2 * GB]
    assert not found[0].shares_memory
    assert devices.wanted("cpu") == [CPU]


def test_an_apple_gpu_shares_the_processors_memory(monkeypatch):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2 * GB)
    [device] = devices.wanted("gpu")
    assert (device.torch, device.name, device.free()) == ("mps", "GPU (Apple, MPS)", 10 * GB)
    assert device.shares_memory
    for newer, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_, newer=newer: newer)
        assert devices.numbers(device, wide=True) == dtype


def test_without_a_gpu_there_is_the_processor_and_asking_for_one_is_an_error(monkeypatch):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    assert devices.wanted("auto") == [CPU]
    with pytest.raises(EngineError, match="no GPU here"):
        devices.wanted("gpu")


@pytest.mark.parametrize(
    ("name", "bf16", "wide", "dtype"),
    [
        ("NVIDIA H100", True, True, "bfloat16"),
        ("NVIDIA H100", True, False, "bfloat16"),
        ("GeForce RTX 2080", False, False, "float16"),
        ("GeForce RTX 2080", False, True, "float32"),  # whose language models leave the range of half floats
        ("GeForce GTX 1660 Ti", False, False, "float32"),  # gives NaN in half floats
    ],
)
def test_numbers_are_as_narrow_as_device_and_model_bear(monkeypatch, name, bf16, wide, dtype):
    monkeypatch.setattr(torch, "cuda", Library(name, bf16=bf16))
    assert devices.numbers(Device("cuda:0", f"GPU ({name}, CUDA)", lambda: 0), wide=wide) == getattr(torch, dtype)
    assert devices.numbers(CPU, wide=wide) == torch.float32


# --- plans ------------------------------------------------------------------------------------------------------------

LARGE = Needs({"words": 9 * GB, "denoiser": 24 * GB, "vae": GB // 4}, GB // 8, GB, 4 * GB, GB)


@pytest.mark.parametrize(
    ("free", "package", "plan"),
    [
        (80, True, Plan("whole")),
        (36, True, Plan("whole", True)),
        (28, True, Plan("parts", True)),
        (21, True, Plan("whole", True, quantised="8bit")),
        (16, True, Plan("parts", True, quantised="8bit")),
        (12, True, Plan("layers", True)),
        (12, False, Plan("layers", True)),
        (21, False, Plan("layers", True)),
        (1, True, Plan("processor", True)),
    ],
)
def test_the_quickest_plan_that_fits_the_memory_is_the_first(free, package, plan):
    plans = ladder(pretended(free), "", can_quantise=package)
    assert next(one for one in plans if one.takes(LARGE) <= free * GB) == plan


def test_memory_that_is_shared_with_the_processor_is_not_saved_by_bringing_parts():
    plans = ladder(pretended(8, shares_memory=True), "", can_quantise=True)
    assert [plan.where for plan in plans] == ["whole", "whole", "whole", "processor"]
    assert [plan.sliced for plan in plans] == [False, False, True, False]


def test_plans_say_truly_where_they_compute():
    device = pretended(1, name="GPU (Card, CUDA)")
    assert Plan("whole").on(device) == "GPU (Card, CUDA)"
    assert Plan("parts", True).on(device) == "GPU (Card, CUDA), its parts in turn, decoding in tiles"
    assert Plan("whole", True, quantised="4bit").on(device) == "GPU (Card, CUDA), 4-bit weights, decoding in tiles"
    assert Plan("processor", True).on(device).startswith("CPU")


@pytest.mark.parametrize("plan", ladder(pretended(1), "", can_quantise=False), ids=lambda plan: plan.on(CPU))
def test_a_checkpoint_is_placed_by_the_memory_that_is_free(sd, plan):
    needed = Placed(sd, CPU).needs
    assert needed.parts.keys() == {"vae", "text_encoder", "unet"}
    placed = Placed(sd, pretended(plan.takes(needed) / GB))
    assert placed.plan.takes(needed) == plan.takes(needed)  # at this size tiles save nothing
    assert placed.facts["device"] == placed.runs_on


def on_plan(loading: Loading, plan: Plan) -> Painter:
    painter = Painter(loading, pretended(80))
    placed = painter.placed
    placed._at = placed._plans.index(plan)
    placed._settle()
    return painter


@pytest.mark.parametrize("plan", ladder(pretended(1), "", can_quantise=False), ids=lambda plan: plan.on(CPU))
def test_every_plan_draws_the_same_picture_again_and_again(sd, plain, plan):
    painter = on_plan(sd, plan)
    for _ in range(2):
        assert np.allclose(drawn(painter), plain, atol=1e-5)
    hooked = [hasattr(module, "_hf_hook") for module in painter._pipeline.unet.modules()]
    assert (hooked[0], any(hooked[1:])) == {"parts": (True, False), "layers": (True, True)}.get(
        plan.where, (False, False)
    )
    assert painter._pipeline.vae.use_tiling == plan.tiled


# --- memory that runs out ---------------------------------------------------------------------------------------------


def failing(painter: Painter, monkeypatch, plans: int, *, at: int = 2) -> list[str]:
    """Let the memory run out in the `at`-th look of every drawing by the first so many plans; returns the plans."""
    placed, asked = painter.placed, []
    forward = type(painter._net).forward
    looks = {}

    def full(self, *given: object, **named: object) -> object:
        if not asked or asked[-1] != placed.plan.on(placed.device):
            asked.append(placed.plan.on(placed.device))
        looks[len(asked)] = looks.get(len(asked), 0) + 1
        if len(asked) <= plans and looks[len(asked)] == at:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, *given, **named)

    monkeypatch.setattr(type(painter._net), "forward", full)
    return asked


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_memory_that_runs_out_is_answered_by_cheaper_plans_with_the_same_picture(sd, plain, monkeypatch, times):
    painter = Painter(sd, pretended(80))
    asked = failing(painter, monkeypatch, times)
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    picture, seen = run(persistent(painter.placed, lambda: painter.steps(*wish)))
    assert np.allclose(picture, plain, atol=1e-5)
    assert len(asked) == times + 1
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert painter.facts["memory_ran_out"] == times
    assert painter.runs_on.endswith(f"its memory ran out {'once' if times == 1 else f'{times} times'}")
    assert drawn(painter).shape == plain.shape  # it stays with what works
    assert len(asked) == times + 1


def test_memory_that_always_runs_out_is_one_sentence_in_the_end(sd, monkeypatch):
    painter = Painter(sd, pretended(80))
    failing(painter, monkeypatch, 99, at=1)
    with pytest.raises(OutOfMemory, match="memory ran out while the model was drawing, on the CPU") as told:
        drawn(painter)
    assert "side=" in told.value.hint


def test_memory_that_runs_out_while_placing_is_answered_too(sd, plain, monkeypatch):
    kind = diffusers.StableDiffusionInpaintPipeline
    to, moved = kind.to, []

    def full(self, *given: object, **named: object) -> object:
        moved.append(given)
        if len(moved) <= 2:
            raise torch.OutOfMemoryError("out of memory")
        return to(self, *given, **named)

    monkeypatch.setattr(kind, "to", full)
    painter = Painter(sd, pretended(80))
    assert painter.placed.plan == Plan("parts", True)
    assert np.allclose(drawn(painter), plain, atol=1e-5)


def test_the_engine_says_in_its_notes_that_the_memory_ran_out(sd, monkeypatch):
    crew = Crew([functools.partial(Painter, sd, pretended(80, name="GPU (Card)"))])
    engine = LatentEngine(INFO, crew, Options(steps=2, tries=1), threads=1)
    failing(crew._painter(0), monkeypatch, 1)
    rng = np.random.default_rng(0)
    hole = np.pad(np.ones((20, 20), bool), 20)
    view = View(rng.uniform(-1, 1, (60, 60, 3)).astype(np.float32), hole)
    filled, seen = run(engine.fill(view, seed=0, prompt="sand"))
    assert np.isfinite(filled).all()
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    notes = [step.note for step in seen]
    assert any(note.endswith("on the GPU (Card)") for note in notes)
    assert any(note.endswith("on the GPU (Card), decoding in tiles, its memory ran out once") for note in notes)
    assert engine.facts["memory_ran_out"] == 1


def test_a_machine_without_room_for_the_weights_says_so_before_loading(sd, monkeypatch):
    loaded = []
    monkeypatch.setattr(placement, "usable_memory", lambda: 1 << 20)
    with pytest.raises(OutOfMemory, match=r"GB of weights, and 0.0 GB of memory are free"):
        Placed(sd, CPU, load=lambda *a, **k: loaded.append(a))
    assert loaded == []


def test_little_memory_is_answered_by_half_as_wide_numbers_on_the_processor(sd, monkeypatch):
    whole = sum(Placed(sd, CPU).needs.parts.values())
    monkeypatch.setattr(placement, "usable_memory", lambda: int(0.7 * whole))
    placed = Placed(sd, CPU)
    assert placed.facts["dtype"] == "bfloat16"
    assert sum(placed.needs.parts.values()) < 0.6 * whole


# --- estimates --------------------------------------------------------------------------------------------------------


def alive_at_most(work) -> int:
    """Bytes of tensors that `work` holds at a time at most, counted without computing anything."""
    import weakref

    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Count(TorchDispatchMode):
        now = most = 0

        def __torch_dispatch__(self, function, types, given=(), named=None):
            result = function(*given, **(named or {}))
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage._cdata not in self.known:
                        self.known.add(storage._cdata)
                        self.now += storage.nbytes()
                        self.most = max(self.most, self.now)
                        weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
            return result

        def gone(self, key: int, size: int) -> None:
            self.known.discard(key)
            self.now -= size

    count = Count()
    count.known = set()
    with torch.inference_mode(), count:
        work()
    return count.most


SIDE = 512


def unet_step() -> tuple[int, int]:
    with torch.device("meta"):
        net = diffusers.UNet2DConditionModel(in_channels=9, cross_attention_dim=768, sample_size=64).half().eval()
        given = (torch.zeros(2, 9, 64, 64).half(), torch.tensor(1.0), torch.zeros(2, 77, 768).half())
    return alive_at_most(lambda: net(*given)), drawing(net, SIDE, 8, 2)


def transformer_step() -> tuple[int, int]:
    with torch.device("meta"):
        net = diffusers.SD3Transformer2DModel(sample_size=64, num_layers=4).bfloat16().eval()
        given = {
            "hidden_states": torch.zeros(2, 16, 64, 64).bfloat16(),
            "encoder_hidden_states": torch.zeros(2, 333, 4096).bfloat16(),
            "pooled_projections": torch.zeros(2, 2048).bfloat16(),
            "timestep": torch.zeros(2),
        }
    return alive_at_most(lambda: net(**given)), drawing(net, SIDE, 8, 2)


def decoded() -> tuple[int, int]:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):
        vae = diffusers.AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)
        vae = vae.half().eval()
        latents = torch.zeros(1, 4, 64, 64).half()
    return alive_at_most(lambda: vae.decode(latents)), decoding(vae.config, SIDE, 2)


@pytest.mark.parametrize("measure", [unet_step, transformer_step, decoded])
def test_estimates_of_what_is_computed_are_enough_and_not_three_times_too_much(measure):
    counted, estimated = measure()
    print(f"{measure.__name__}: counted {counted / 1e6:.0f} MB, estimated {estimated / 1e6:.0f} MB")
    assert counted > 10e6
    assert counted <= estimated <= 3 * counted


def test_needs_count_the_weights_exactly(sd):
    placed = Placed(sd, CPU)
    for name, size in placed.needs.parts.items():
        part = placed.pipeline.components[name]
        assert size == sum(t.nbytes for t in [*part.parameters(), *part.buffers()])
    assert needs(placed.pipeline, 1024).decoding > needs(placed.pipeline, 1024).tile


# --- turns ------------------------------------------------------------------------------------------------------------


def test_several_may_be_inside_but_one_alone():
    gate = Gate()
    assert [*gate.entered(alone=False)] == []
    assert [*gate.entered(alone=False)] == []
    waiting = gate.entered(alone=True)
    next(waiting)
    for _ in range(2):
        next(waiting)
        with gate.held():
            pass
    assert [*waiting] == []
    blocked = gate.entered(alone=False)
    next(blocked)
    with gate.held():
        next(blocked)
    assert [*blocked] == []


def test_two_drawings_in_one_thread_that_move_the_parts_take_turns(sd, plain):
    painter = on_plan(sd, Plan("parts", True))
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    both = [persistent(painter.placed, lambda: painter.steps(*wish)) for _ in range(2)]
    pictures = {}
    while len(pictures) < 2:
        for number, steps in enumerate(both):
            if number not in pictures:
                try:
                    done, _ = next(steps)
                    # the second waits until the first has come to its end
                    assert number == 0 or done == 0 or 0 in pictures
                except StopIteration as finished:
                    pictures[number] = finished.value
    assert all(np.allclose(picture, plain, atol=1e-5) for picture in pictures.values())


def test_two_drawings_at_once_whose_memory_runs_out_agree_on_one_next_plan(sd, plain, monkeypatch):
    painter = Painter(sd, pretended(80))
    forward, both = type(painter._net).forward, threading.Barrier(2)
    failed = set()

    def full(self, *given: object, **named: object) -> object:
        if len(failed) < 2 and threading.get_ident() not in failed:
            failed.add(threading.get_ident())
            both.wait(60)
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, *given, **named)

    monkeypatch.setattr(type(painter._net), "forward", full)
    with ThreadPoolExecutor(2) as pool:
        pictures = [*pool.map(lambda _: drawn(painter), range(2))]
    assert all(np.allclose(picture, plain, atol=1e-5) for picture in pictures)
    assert painter.placed.plan == Plan("whole", True)
    assert painter.facts["memory_ran_out"] == 1


# --- several devices --------------------------------------------------------------------------------------------------


def test_seeds_are_dealt_out_to_two_devices_and_draw_what_one_would(sd):
    made_of = []

    def painter(name: str) -> Painter:
        made_of.append(name)
        return Painter(sd, pretended(80, name=name))

    crew = Crew([functools.partial(painter, name) for name in ("GPU (one)", "GPU (two)")])
    assert made_of == ["GPU (one)"]  # the second is loaded when it is needed
    assert crew.lanes == 2
    alone = Painter(sd)
    wishes = [(SCENE, Wish("a door", "fog", (seed,), 0.99), Options(steps=3, guidance=2.0)) for seed in range(4)]
    told: dict[int, str] = {}

    def draw(number: int) -> np.ndarray:
        steps = crew.steps(*wishes[number])
        next(steps)
        told[number] = crew.runs_on
        if number < 2:
            time.sleep(0.2)  # so that both are under way at once
        return run(steps)[0]

    with ThreadPoolExecutor(2) as pool:
        pictures = [*pool.map(draw, range(4))]
    assert made_of == ["GPU (one)", "GPU (two)"]
    assert {told[0], told[1]} == {"GPU (one)", "GPU (two)"}
    for picture, wish in zip(pictures, wishes, strict=True):
        assert np.array_equal(picture, run(alone.steps(*wish))[0])


def test_a_drawing_that_is_given_up_frees_its_device(sd):
    crew = Crew([functools.partial(Painter, sd, pretended(80, name=name)) for name in ("one", "two")])
    for _ in range(3):
        steps = crew.steps(SCENE, Wish("a door", "", (1,), 0.99), Options(steps=3))
        next(steps)
        assert crew.runs_on == "one"
        steps.close()
    assert crew._painters[1] is None


# --- fewer bits -------------------------------------------------------------------------------------------------------


def test_fewer_bits_need_a_package(sd):
    loading = Loading(sd.place, "folder", quantised="4bit")
    with pytest.raises(MissingExtra, match="not installed") as told:
        Placed(loading, CPU)
    assert told.value.hint == "pip install torchao"


def test_weights_in_eight_bits_draw_nearly_the_same(tmp_path, monkeypatch):
    # bitsandbytes refuses to load without a GPU, so that only this way is tried
    pytest.importorskip("torchao", reason="torchao is not installed")
    monkeypatch.setattr(quantising, "PACKAGES", {"torchao": ("cpu",)})
    folder = Path(made.flux_fill(tmp_path / "flux"))
    whole = Painter(Loading(str(folder), "folder"))
    fewer = Painter(Loading(str(folder), "folder", quantised="8bit"))
    assert fewer.placed.plan.quantised == "8bit"
    assert "8-bit weights" in fewer.runs_on
    expected, found = drawn(whole), drawn(fewer)
    assert 0 < np.abs(found - expected).mean() < 0.1


@pytest.mark.parametrize(
    ("device", "here", "used"),
    [
        ("cuda:0", ("bitsandbytes", "torchao"), "bitsandbytes"),
        ("cuda:0", ("torchao",), "torchao"),
        ("cpu", ("bitsandbytes", "torchao"), "torchao"),
        ("cpu", ("bitsandbytes",), ""),
        ("mps", ("torchao",), "torchao"),
    ],
)
def test_packages_are_used_where_they_compute(monkeypatch, device, here, used):
    monkeypatch.setattr(quantising, "PACKAGES", ALL_PACKAGES)
    monkeypatch.setattr(quantising.importlib.util, "find_spec", lambda name: name in here or None)
    assert quantising.package(device) == used


def test_memory_that_runs_out_is_answered_by_fewer_bits_where_their_package_is(sd, plain, monkeypatch):
    from eraser.engines import checkpoints

    monkeypatch.setattr(quantising, "PACKAGES", {"torch": ("cpu",)})  # one that is there
    asked, real = [], checkpoints.load

    def load(loading: Loading, dtype: object, *, device: str) -> object:
        asked.append((loading.quantised, device))
        return real(Loading(loading.place, loading.kind), dtype)

    monkeypatch.setattr(checkpoints, "load", load)
    painter = Painter(sd, pretended(80))
    failing(painter, monkeypatch, 3)
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    picture, seen = run(persistent(painter.placed, lambda: painter.steps(*wish)))
    assert asked == [("", "cpu"), ("8bit", "cpu")]
    assert painter.placed.plan == Plan("whole", True, quantised="8bit")
    assert np.allclose(picture, plain, atol=1e-5)
    assert len(seen) > 10  # what was loaded anew is heard within its steps, too
    painter.placed.cheaper()
    painter.placed.cheaper()
    assert painter.placed.plan == Plan("layers", True)
    assert asked[2:] == [("", "cpu")]
    assert np.allclose(drawn(painter), plain, atol=1e-5)
