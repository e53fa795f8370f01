"""The firmware's settings, from file trees as Raspberry Pis have them."""

from __future__ import annotations

import pytest

from robot.config import load
from robot.pi import firmware

PINS = [12, 13, 17, 23, 24, 27]
GOOD = "dtparam=strict_gpiod\ngpio=12,13,17,23,24,27=op,dl\n"
PI_4, PI_5 = "Raspberry Pi 4 Model B Rev 1.4\0", "Raspberry Pi 5 Model B Rev 1.0\0"
ZERO_2, PI_400 = "Raspberry Pi Zero 2 W Rev 1.0\0", "Raspberry Pi 400 Rev 1.0\0"
STRICT = {"sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs": "N\n"}
RP1 = {"sys/module/pinctrl_rp1/parameters/persist_gpio_outputs": "N\n"}
LOOSE = {"sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs": "Y\n"}


@pytest.fixture
def tree(tmp_path):
    """tree(config.txt, model, more) -> root of a file system."""

    def make(text=GOOD, model=PI_4, more=STRICT, place="boot/firmware/config.txt"):
        files = {place: text, "proc/device-tree/model": model, "proc/cmdline": "console=tty1 rootwait\n"} | more
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return make


def test_our_own_lines_are_good(tree):
    lines = firmware.lines(load())
    assert lines == ["dtparam=strict_gpiod", "gpio=12,13,17,23,24,27=op,dl"]
    root = tree("\n".join(lines))
    assert [finding.ok for finding in firmware.check(PINS, root)] == [True, True]
    assert firmware.complaint(PINS, root) == ""


@pytest.mark.parametrize(
    "text, ok",
    [
        (GOOD, True),
        ("gpio=12-13,17=op,dl\n  gpio=23,24,27=pd,op,dl\n", True),
        ("gpio=0-27=op,dl\n", True),
        ("gpio=0-27=op,dl\ngpio=17=ip,pd\n", False),  # the last word counts
        ("gpio=0-27=op\n", False),  # an output, but at which level?
        ("gpio=0-27=dl\n", False),
        ("gpio=0-27=op,dh\n", False),
        ("#gpio=0-27=op,dl\n", False),
        ("gpio=12,13,17,23,24=op,dl\n", False),  # one is missing
        ("[pi4]\ngpio=0-27=op,dl\n", True),
        ("[pi5]\ngpio=0-27=op,dl\n", False),
        ("[pi5]\ndtparam=audio=on\n[all]\ngpio=0-27=op,dl\n", True),
        ("[none]\ngpio=0-27=op,dl\n", False),
        ("[EDID=VSC-TD2220]\ngpio=0-27=op,dl\n", False),  # not modelled: counts as missing
        ("gpio=0-27=op,dl\n[gpio4=1]\ngpio=17=op,dh\n", False),  # and what would undo it, as there
        ("gpio=0-27=op,dl\n[pi5]\ngpio=17=op,dh\n", True),
        ("include motors.txt\n", True),
        ("include config.txt\n", False),  # itself
        ("gpio=x-y=op,dl\ngpio=\n=op\n\0\xff", False),
        ("", False),
    ],
)
def test_pins_at_boot(tree, text, ok):
    root = tree(text, more={"boot/firmware/motors.txt": "gpio=0-27=op,dl\n"})
    finding = firmware.check(PINS, root)[1]
    assert finding.ok is ok
    assert ok or "gpio=12,13,17,23,24,27=op,dl" in finding.mend


@pytest.mark.parametrize(
    "model, section, ok",
    [
        (PI_4, "pi4", True), (PI_5, "pi4", False), (PI_5, "pi5", True), (ZERO_2, "pi02", True), (ZERO_2, "pi0", True),
        (ZERO_2, "pi3", False), (PI_400, "pi400", True), (PI_400, "pi4", True),
        ("Raspberry Pi 3 Model B Plus Rev 1.3\0", "pi3+", True), ("Raspberry Pi 3 Model B Rev 1.2\0", "pi3+", False),
        ("Raspberry Pi Compute Module 4 Rev 1.0\0", "cm4", True), ("Raspberry Pi 500 Rev 1.0\0", "pi5", True),
    ],
)  # fmt: skip
def test_sections_by_model(tree, model, section, ok):
    assert firmware.check(PINS, tree(f"[{section}]\ngpio=0-27=op,dl\n", model))[1].ok is ok


@pytest.mark.parametrize(
    "more, running",
    [
        (STRICT, True),
        (LOOSE, False),
        (RP1, True),
        ({"sys/module/pinctrl_rp1/parameters/strict_gpiod": "Y\n"}, True),
        ({"sys/module/pinctrl_rp1/parameters/strict_gpiod": "N\n"}, False),
        ({"proc/cmdline": "quiet pinctrl_bcm2835.persist_gpio_outputs=n\n"}, True),
        ({"proc/cmdline": "pinctrl-bcm2835.persist_gpio_outputs=0\n"}, True),
        ({"proc/cmdline": "pinctrl_bcm2835.persist_gpio_outputs=y\n"}, False),
        ({}, None),
    ],
)
def test_what_the_running_kernel_does(tree, more, running):
    root = tree(more=more)
    assert firmware.released_pins_float(root) is running
    assert firmware.check(PINS, root)[0].ok is (running is True)


@pytest.mark.parametrize(
    "text, what",
    [
        (GOOD, "strict_gpiod is set but not in force"),
        ("dtparam=audio=on,strict_gpiod=on", "strict_gpiod is set but not in force"),
        ("dtparam=strict_gpiod=off", "would keep their level"),
        ("dtparam=strict_gpiod\ndtparam=strict_gpiod=off", "would keep their level"),
        ("", "would keep their level"),
    ],
)
def test_what_mends_strict_gpiod(tree, text, what):
    finding = firmware.check(PINS, tree(text, more=LOOSE))[0]
    assert what in finding.what and finding.mend.endswith("sudo reboot")


def test_the_older_place_is_known(tree):
    root = tree(place="boot/config.txt")
    assert not firmware.complaint(PINS, root)
    tree("", place="boot/firmware/config.txt")  # where both are there the newer one counts
    assert "/boot/firmware/config.txt" in firmware.complaint(PINS, root)


def test_a_machine_that_is_no_pi_is_told(tmp_path):
    assert "no Raspberry Pi" in firmware.complaint(PINS, tmp_path)


def test_both_complaints_are_one_sentence_with_commands(tree):
    words = firmware.complaint(PINS, tree("", more={}))
    assert words.count("run `printf") == 2 and "\n" not in words
