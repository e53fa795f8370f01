"""Tasks that show pictures: how they are prepared, that each is kept once, that they are learnt from and converted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from convert.commands import convert as converting
from edge import cli
from tests.train.agents.catch import SIDE, Catch
from train import tasks
from train.agents.dqn import DQN, DQNSettings
from train.commands import train as training
from train.envs.batch import Step
from train.envs.frames import FrameBatch, FrameSettings, Game
from train.frame_replay import FrameReplay
from train.judges import judges
from train.runs import RunFolder

CATCH = "tests.train.agents.catch:Catch-v0"
PLAIN = FrameSettings(size=SIDE, stack=2)
SMALL = {
    "size": SIDE, "stack": 2, "filters": 16, "kernels": 3, "strides": 1, "hidden": 64, "replay": 5_000, "batch": 32,
    "learning_starts": 512, "gradient_steps": 16, "iteration": 512, "gamma": 0.9, "learning_rate": 2e-3,
    "epsilon_share": 0.3, "target_every": 128, "n_step": 3,
}  # fmt: skip


def test_a_picture_is_grey_cropped_small_and_the_newest_come_last() -> None:
    batch = FrameBatch(CATCH, 2, PLAIN)
    seen, _ = batch.reset(0)
    shape = (2, SIDE, SIDE, 2)
    assert seen.dtype == np.uint8 and seen.shape == (2, SIDE * SIDE * 2) == (2, batch.observation_size)
    np.testing.assert_array_equal(*np.moveaxis(seen.reshape(shape), 3, 0))  # the first stands for those before it
    step = batch.step(np.array([1, 2]))
    after = step.observation.reshape(shape)
    np.testing.assert_array_equal(after[..., 0], seen.reshape(shape)[..., 1])
    assert (after[..., 1] != after[..., 0]).any()
    large = CATCH.replace("Catch-", "CatchLarge-")
    cropped, whole = (Game(large, FrameSettings(size=8, crop_top=cut, crop_bottom=cut)).reset(0) for cut in (2, 0))
    assert cropped.shape == whole.shape == (8, 8)
    assert not cropped.any() and whole.any()  # ball and paddle are in the rows cut off


def test_rewards_are_cut_while_learning_and_whole_when_judged() -> None:
    for learning, sizes in ((True, {-1.0, 0.0, 1.0}), (False, {-2.0, 0.0, 2.0})):
        batch = FrameBatch(CATCH, 8, PLAIN, learning)
        batch.reset(1)
        steps = [batch.step(np.zeros(8, np.int64)) for _ in range(60)]
        assert {float(x) for step in steps for x in step.reward} == sizes
        earned = np.array([step.earned for step in steps])
        assert set(earned.ravel().tolist()) == {-2.0, 0.0, 2.0}


class Blinking(gymnasium.Env[Any, Any]):
    """Shows something on every second frame only, as Atari's sprites, and loses a life each sixth."""

    observation_space = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.ale = self
        self.frame = 0

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE"]

    def lives(self) -> int:
        return 3 - self.frame // 6

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.frame, self.fired = 0, 0
        return np.zeros((8, 8, 3), np.uint8), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.frame += 1
        self.fired += action
        return np.full((8, 8, 3), 200 * (self.frame % 2), np.uint8), 1.0, self.lives() == 0, False, {}


def test_what_flickers_is_seen_actions_repeat_and_a_lost_life_has_no_future(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gymnasium.registry, "Blinking-v0", gymnasium.envs.registration.EnvSpec("Blinking-v0", Blinking))
    batch = FrameBatch("Blinking-v0", 1, FrameSettings(size=8, stack=1, skip=2))
    batch.reset(0)
    inner = batch._games[0].env.unwrapped
    assert inner.fired == 1  # else a game that waits for it waits for ever
    steps = [batch.step(np.zeros(1, np.int64)) for _ in range(3)]
    assert all((step.observation == 200).all() for step in steps)
    assert [float(step.earned[0]) for step in steps] == [2.0] * 3
    assert [float(step.reward[0]) for step in steps] == [1.0] * 3
    assert [bool(step.lost[0]) for step in steps] == [False, False, True]
    assert inner.fired == 2 and not any(step.terminated[0] for step in steps)
    judged = FrameBatch("Blinking-v0", 1, FrameSettings(size=8), learning=False)
    judged.reset(0)
    assert judged.step(np.zeros(1, np.int64)).lost is None


class Counting:
    """Two games whose pictures are numbers that count up; one ends after 5 steps, the other's time does after 7."""

    n, actions, continuous, frame_shape, observation_size = 2, 2, False, (1, 2, 3), 6

    def __init__(self) -> None:
        self.count = np.array([0, 100])
        self.seen = np.repeat(self.count[:, None], 3, 1)
        self.age = np.zeros(2, int)

    def observation(self) -> np.ndarray:
        return np.repeat(self.seen[:, None, :], 2, 1).reshape(2, 6).astype(np.uint8)

    def step(self) -> Step:
        self.count, self.age = self.count + 1, self.age + 1
        self.seen = np.concatenate((self.seen[:, 1:], self.count[:, None]), 1)
        final = self.observation()
        terminated, truncated = np.array([self.age[0] == 5, False]), np.array([False, self.age[1] == 7])
        for i in np.flatnonzero(terminated | truncated):
            self.count[i] += 1
            self.seen[i], self.age[i] = self.count[i], 0
        seen = self.observation()
        return Step(seen, seen, final, self.count.astype(np.float32), terminated, truncated)


@pytest.mark.parametrize(("alpha", "n_step"), [(0.0, 1), (0.6, 3)])
def test_pictures_are_kept_once_and_put_together_as_they_were_seen(alpha: float, n_step: int) -> None:
    env, rng = Counting(), np.random.default_rng(0)
    memory = FrameReplay(env, 40, 0.5, n_step, alpha)
    lived: list[tuple[np.ndarray, Step]] = []
    for i in range(90):
        before = env.observation()
        lived.append((before, env.step()))
        memory.add(before, np.zeros(2, np.int64), lived[-1][1])
        if i == 80:  # all begin anew, in the middle of their episodes
            memory.cut()
            env.seen, env.age = np.repeat(env.count[:, None], 3, 1), np.zeros(2, int)
        if len(memory) < 8:
            continue
        batch = memory.sample((16,), rng)
        for k in range(16):
            row, column = divmod(int(batch.index[k]), 2)
            first = max(t for t in range(len(lived)) if t % memory._rows == row)
            assert first >= len(lived) - memory._rows + 2 or len(lived) <= memory._rows
            np.testing.assert_array_equal(batch.observation[k], lived[first][0][column])
            last = first
            while last < first + n_step - 1 and not (lived[last][1].terminated | lived[last][1].truncated)[column]:
                if last == 80:
                    break
                last += 1
            wanted = sum(0.5 ** (t - first) * lived[t][1].reward[column] for t in range(first, last + 1))
            assert batch.reward[k] == pytest.approx(wanted)
            if lived[last][1].terminated[column]:
                assert batch.discount[k] == 0.0
            else:
                assert batch.discount[k] == pytest.approx(0.5 ** (last - first + 1))
                np.testing.assert_array_equal(batch.following[k], lived[last][1].final_observation[column])
    again = FrameReplay(Counting(), 40, 0.5, n_step, alpha)
    again.load(memory.arrays())
    mine, other = (each.sample((64,), np.random.default_rng(1)) for each in (memory, again))
    np.testing.assert_array_equal(mine.following, other.following)
    np.testing.assert_array_equal(mine.observation, other.observation)
    assert memory._picture.nbytes == 2 * memory._rows * env.n  # pixels, and no picture twice


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "run"
    given = [part for pair in SMALL.items() for part in ("--set", f"{pair[0]}={pair[1]}")]
    argv = [CATCH, "--algo", "dqn", "--double", "--dueling", "--steps", "6000", "--run", str(path), *given]
    assert training.main(argv) == 0
    return path


def test_it_learns_to_catch_from_pixels(run: Path) -> None:
    """Five balls of +2 or -2 a game: whoever stands still comes to about -3."""
    found = RunFolder.open(run)
    assert found.settings.environment["size"] == SIDE
    assert json.loads((run / "evaluation.json").read_text())["return_mean"] > 7.0


def test_the_policy_becomes_an_int8_file_that_catches_as_well(run: Path, tmp_path: Path) -> None:
    model = tmp_path / "catch.tflite"
    assert converting.main([str(run), "-o", str(model), "--quantize", "int8"], judges=judges()) == 0
    from edge.manifest import read

    manifest = read(model)[1]
    (figure,) = [each for each in manifest.parity["figures"] if "return" in each["name"]]
    assert figure["after"] > 7.0


def test_a_restored_learner_goes_on_as_the_one_that_was_not_stopped() -> None:
    settings = DQNSettings(
        envs=2, replay=200, learning_starts=64, train_every=32, gradient_steps=2, batch=8, iteration=64, n_step=2,
        filters=(2,), kernels=(3,), strides=(2,), hidden=(4,), prioritized=True,
    )  # fmt: skip

    def learner() -> tuple[DQN, FrameBatch]:
        env = FrameBatch(CATCH, 2, PLAIN)
        return DQN(env, settings, 0), env

    straight, env = learner()
    kept = None
    for report in straight.learn(env, 512):
        if report.steps == 256:
            kept = straight.state()
    other, env = learner()
    assert kept is not None
    other.load(kept, env)
    for _ in other.learn(env, 512):
        pass
    for one, two in zip(straight.everything(), other.everything(), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_breakout_is_a_task_of_frames() -> None:
    pytest.importorskip("ale_py")
    task = tasks.make("ALE/Breakout-v5")
    batch = task.training(2)
    seen, _ = batch.reset(0)
    assert seen.shape == (2, 84 * 84 * 4) and task.settings.skip == 4
    steps = [batch.step(np.full(2, i % 4)) for i in range(60)]
    assert any(step.lost.any() for step in steps) and {float(x) for step in steps for x in step.reward} <= {0.0, 1.0}
    batch.close()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([CATCH, "--algo", "ppo"], "shows pictures, which ppo does not see; these do: dqn"),
        ([CATCH, "--algo", "dqn", "--set", "crop_top=1"], "leave less than 8 of 8 rows"),
        ([CATCH, "--algo", "dqn", "--set", "curiosity=1"], "curiosity does not see pictures"),
        ([CATCH, "--algo", "dqn", "--set", "filters=8"], "differ in length"),
        ([CATCH, "--algo", "dqn", "--set", "size=8", "--set", "kernels=8,4,3"], "too wide for 8 pixels"),
        (["ALE/Breakot-v5", "--algo", "dqn"], "did you mean 'ALE/Breakout-v5'?"),
    ],
)
def test_bad_input_is_one_sentence(
    argv: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *argv, "--run", str(tmp_path / "run")]) == 2
    assert told in capsys.readouterr().err


def test_the_game_follows_from_its_seed() -> None:
    check_env(Catch(), skip_render_check=True)
