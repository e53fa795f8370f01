"""Two light sensors: LDRs that charge a capacitor each, or on two channels of an MCP3008.

Both give a raw value, 0 dark to 1 bright, which the calibration (`dark`, `bright`) spreads over 0..1.
For an LDR the raw value is 1 - t / charge_time_limit, t being the time in which the capacitor reaches
the pin's threshold; a capacitor that does not within the limit is dark.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from robot.config import Light
from robot.pi import gpio
from robot.pi.pace import Pace

if TYPE_CHECKING:
    from gpiozero.pins import Factory

_DISCHARGE_S = 0.003  # 9 time constants of 1 uF through 330 ohm


class LightPair(Protocol):
    """Left and right light, each 0..1. `read` may take some tens of milliseconds."""

    def read(self) -> tuple[float, float]: ...

    def close(self) -> None: ...


def open_light(config: Light, factory: Factory, pace: Pace) -> LightPair:
    """The pair that `robot.toml` describes. Raises `RobotError`."""
    return LdrPair(config, factory, pace) if config.kind == "ldr" else Mcp3008Pair(config, factory)


def calibrated(config: Light, raw: float) -> float:
    """The raw value on the scale from `dark` to `bright`, within 0..1."""
    return min(1.0, max(0.0, (raw - config.dark) / (config.bright - config.dark)))


class _Ldr:
    def __init__(self, factory: Factory, number: int, name: str) -> None:
        self._factory = factory
        self._start = self._end = 0.0
        self.charged = threading.Event()
        self.pin: Any = gpio.take(factory, number, name)
        with gpio.telling(f"GPIO {number} ({name})"):
            self.pin.edges = "rising"
            self.pin.bounce = None

    def discharge(self) -> None:
        # The edge detection goes first: on lgpio a change of function drops it in silence.
        self.pin.when_changed = None
        self.pin.output_with_state(False)
        self.charged.clear()

    def charge(self) -> None:
        self._start = self._end = self._factory.ticks()
        self.pin.function = "input"
        self.pin.when_changed = self._edge
        if self.pin.state and not self.charged.is_set():  # so bright that the edge came before the detection
            self._end = self._factory.ticks()
            self.charged.set()

    def seconds(self) -> float:
        return float(self._factory.ticks_diff(self._end, self._start))

    def _edge(self, ticks: float, state: int) -> None:
        if not self.charged.is_set():
            self._end = ticks
            self.charged.set()


class LdrPair:
    """Two LDRs, read together: about 3 ms + the slower one's charge time."""

    def __init__(self, config: Light, factory: Factory, pace: Pace) -> None:
        self._config, self._pace, self._factory = config, pace, factory
        self._ldrs = [_Ldr(factory, config.left, "light.left"), _Ldr(factory, config.right, "light.right")]

    def read(self) -> tuple[float, float]:
        """Light left and right, 0..1."""
        for ldr in self._ldrs:
            ldr.discharge()
        self._pace.sleep(_DISCHARGE_S)
        for ldr in self._ldrs:
            ldr.charge()
        patience = self._config.charge_time_limit_s
        values = []
        for ldr in self._ldrs:
            if not self._pace.wait(ldr.charged, patience):
                patience = 0.0  # both charge at once: the second has had its time too
            values.append(self._value(ldr))
        return values[0], values[1]

    def close(self) -> None:
        """Give back the pins. Never raises."""
        for ldr in self._ldrs:
            with suppress(Exception):  # nothing on these pins moves
                ldr.pin.when_changed = None
                ldr.pin.close()

    def _value(self, ldr: _Ldr) -> float:
        limit = self._config.charge_time_limit_s
        share = ldr.seconds() / limit if ldr.charged.is_set() else 1.0
        return calibrated(self._config, 1.0 - min(1.0, max(0.0, share)))


class Mcp3008Pair:
    """Two channels of an MCP3008 on SPI0, chip select 0 (datasheet DS21295D): 10 bits each."""

    def __init__(self, config: Light, factory: Factory) -> None:
        self._config = config
        self._channels: list[Any] = []
        with gpio.telling("the MCP3008 on SPI0"):
            from gpiozero import MCP3008

            for channel in (config.left, config.right):
                self._channels.append(MCP3008(channel, pin_factory=factory))

    def read(self) -> tuple[float, float]:
        """Light left and right, 0..1."""
        left, right = (calibrated(self._config, channel.raw_value / 1023) for channel in self._channels)
        return left, right

    def close(self) -> None:
        """Give back the bus. Never raises."""
        for channel in self._channels:
            with suppress(Exception):  # nothing on these pins moves
                channel.close()
