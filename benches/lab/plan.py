"""What one run measures, of whom, and how often."""

from argparse import Namespace
from dataclasses import dataclass

from .arms import DIRECT, FLOOR, SIDESTREAM, Arm, Direct, Floor, sidestreams
from .cases import Beside, Hold, Load, besides, holds, loads
from .peers import read_all

RESOURCES = ("start", "memory", "calls")
QUICK_ARMS = (DIRECT, FLOOR, SIDESTREAM, "nginx", "haproxy")
SECONDS, QUICK_SECONDS = 2.0, 0.4
FEW_ROUNDS = 3


@dataclass(frozen=True)
class Plan:
    """Cases by the stage that measures them; `placements` by the name of a load."""

    arms: list[Arm]
    loads: list[Load]
    holds: list[Hold]
    besides: list[Beside]
    resources: list[str]
    placements: dict[str, tuple[str, ...]]
    rounds: int
    few_rounds: int  # of what takes long and hardly varies: memory
    seconds: float
    install: bool


def all_arms() -> list[Arm]:
    return [Direct(), Floor(), *sidestreams(), *read_all()]


def plan(options: Namespace) -> Plan:
    def wanted(name: str, quick: bool) -> bool:
        return name in options.case if options.case else quick or not options.quick

    chosen = [case for case in loads() if wanted(case.name, case.quick)]
    one_place = {"own": ("own",), "one": ("one",), "both": ("own", "one")}.get(options.placement)
    return Plan(
        arms=[arm for arm in all_arms() if takes_part(arm, options)],
        loads=chosen,
        holds=[case for case in holds() if wanted(case.name, False)],
        besides=[case for case in besides() if wanted(case.name, False)],
        resources=[name for name in RESOURCES if wanted(name, name != "calls")],
        placements={case.name: one_place or case.placements for case in chosen},
        rounds=options.rounds,
        few_rounds=1 if options.quick else min(options.rounds, FEW_ROUNDS),
        seconds=options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
        install=options.install or options.gateways,
    )


def takes_part(arm: Arm, options: Namespace) -> bool:
    """sidestream and `direct` always do: all else is compared with them."""
    if arm.name in (DIRECT, SIDESTREAM) or options.arm:
        return arm.name in (DIRECT, SIDESTREAM, *(options.arm or ()))
    if "gateway" in arm.kind:
        return options.gateways
    return not options.quick or arm.name in QUICK_ARMS
