"""The next step of a message: a verb with its fields, in the words of the door that shows it.

Messages write it as the command line does, such as `migrate repair 018`, and call the caller's own call the same
command. Each door reads that back and writes it in its own words: with the options of the call, as a payload of the
Lambda, or as a command of Alembic.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from runner.answer import Json
from runner.invocation import Tell

SAME, REPEAT = "the same command", "then repeat"
TIMEOUT, LOCK_HOLD = "--timeout", "--max-lock-hold-ms"
"""The options that messages name, which are called otherwise where there is no command line."""
# The caller's own call with something more, any command, an option, or the caller's own call.
MENTION = re.compile(
    rf"{SAME} with `(?P<more>[^`]+)`|`migrate (?P<command>[a-z][^`]*)`"
    rf"|`(?P<option>{TIMEOUT}|{LOCK_HOLD})`(?:, or the function's)?|{SAME}|{REPEAT}\b"
)
POSITIONAL = {
    "upgrade": "target", "downgrade": "target", "stamp": "target", "repair": "target", "plan": "target",
    "rehearse": "target", "show": "target", "run-migration": "target", "end-session": "pid",
}  # fmt: skip
"""The field that a verb takes as an argument, not as an option."""
WITHOUT = ("check", "current", "heads", "history", "sizes", "activity", "redo", "list-migrations")
TO_HEAD = frozenset({"plan", "rehearse", "show", "upgrade"})
"""The verbs whose command goes to `head` where no target was typed; others require one, or mean something else."""
LOCK_HOLD_MS = 2000
"""The `max_lock_hold_ms` that the command line sends where nothing was typed."""
NUMBERS = frozenset({"pid", "limit", "max_lock_hold_ms"})
TEXTS = frozenset({"message", "hint", "help", "advice", "told"})
"""The fields of an answer, and of what it lists, that name commands."""
LISTS = frozenset({"warnings"})


@dataclass(frozen=True)
class NextStep:
    """A verb and its fields, without those that belong to one call, such as the actor."""

    action: str
    fields: Mapping[str, Json] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, Json]:
        """Return it as a payload."""
        return {"action": self.action, **self.fields}

    def command(self, options: Iterable[str] = ()) -> str:
        """Return it as a command with these options of the call."""
        own = POSITIONAL.get(self.action, "")
        words = ["migrate", *options, self.action]
        untyped = {"max_lock_hold_ms": LOCK_HOLD_MS, **({"target": "head"} if self.action in TO_HEAD else {})}
        given = {name: value for name, value in self.fields.items() if untyped.get(name) != value}
        words += [str(given[own])] if own in given else []
        for name, value in given.items():
            words += [f"--{name.replace('_', '-')}", str(value)] if name != own else []
        return shlex.join(words)


@dataclass(frozen=True)
class Door:
    """The words of one way to call the runner."""

    write: Callable[[NextStep], str | None]
    """Return a step as it is typed or sent there, None for one that this door does not have."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What it has in the place of an option of the command line."""

    def say(self, mention: re.Match[str], same: NextStep | None) -> str:
        """Return the words for a mention of a step or an option; the mention itself where the door has none."""
        if (option := mention["option"]) is not None:
            return self.options.get(option, f"`{option}`")
        step = _read(mention, same)
        said = None if step is None else self.write(step)
        if said is None:
            return mention[0]
        return f"then run `{said}`" if mention[0] == REPEAT else f"`{said}`"


def of_call(event: Mapping[str, Json]) -> NextStep | None:
    """Return the caller's own call; None for a payload that names no verb."""
    action = event.get("action")
    if action not in POSITIONAL and action not in WITHOUT:
        return None
    left = event.keys() - {"action", "on_error", "actor", "idempotency_key"}
    return NextStep(str(action), {name: event[name] for name in event if name in left and event[name] is not None})


def only(text: str, same: NextStep | None) -> NextStep | None:
    """Return the step that a program can take after reading a text.

    None where it names no verb, or several, between which a person decides. The caller's own call does not count:
    something is to be corrected first.
    """
    found = [_read(mention, same) for mention in MENTION.finditer(text)]
    steps = [step for step in found if step is not None and step != same]
    return steps[0] if len(steps) == 1 else None


def spell(text: str, same: NextStep | None, door: Door) -> str:
    """Return a text with its steps and options in the words of a door."""
    return MENTION.sub(lambda mention: door.say(mention, same), text)


def spell_all(document: Mapping[str, Json], same: NextStep | None, door: Door) -> Json:
    """Return an answer with the steps and options of its messages in the words of a door."""

    def change(name: str, value: Json) -> Json:
        match value:
            case str() if name in TEXTS:
                return spell(value, same, door)
            case list():
                return [change("hint" if name in LISTS else "", one) for one in value]
            case dict():
                return {key: change(key, one) for key, one in value.items()}
        return value

    return change("", dict(document))


def spelling(tell: Tell, door: Door) -> Tell:
    """Return a callback for progress that passes sentences on with their steps in the words of a door."""
    return lambda sentence, **fields: tell(spell(sentence, None, door), **fields)


def as_payload(step: NextStep) -> str:
    """Return a step as a payload of the Lambda."""
    return json.dumps(step.payload, ensure_ascii=False, separators=(",", ":"))


def as_input(step: NextStep) -> str:
    """Return a step as an input of the state machine, whose upgrades have a plan and an approval of their own."""
    if step.action not in {"upgrade", "run-migration"}:
        return as_payload(step)
    target = step.fields.get("target", "head")
    return as_payload(NextStep("upgrade", {"target": "head" if target == "all" else target}))


def command_line(options: Iterable[str] = (), *, remote: bool = False) -> Door:
    """Return the command line with these options of the call; `remote` where a function does the work."""
    given = tuple(options)
    return Door(lambda step: step.command(given), {TIMEOUT: OF_FUNCTION} if remote else {})


def alembic(options: Iterable[str] = ()) -> Door:
    """Return Alembic's command line with these options of the call."""
    return Door(partial(_as_alembic, tuple(options)), {TIMEOUT: "`--timeout` of `migrate`"})


OF_FUNCTION = "the function's time-out"
HERE = command_line()
PAYLOAD = Door(as_payload, {TIMEOUT: OF_FUNCTION, LOCK_HOLD: "`max_lock_hold_ms`"})
STATE_MACHINE = Door(as_input, PAYLOAD.options)


def _as_alembic(options: tuple[str, ...], step: NextStep) -> str | None:
    """Return a step as a command of Alembic, None for a verb that it does not have."""
    if step.action not in {"upgrade", "downgrade", "stamp", "current", "heads", "history", "show"}:
        return None
    given = [f"{name}={step.fields[name]}" for name in ("confirm", "plan") if step.fields.get(name)]
    guards = [word for one in given for word in ("-x", one)]
    target = [str(step.fields.get("target", "head"))] if step.action in POSITIONAL else []
    return shlex.join(["alembic", *options, *guards, step.action, *target])


def _read(mention: re.Match[str], same: NextStep | None) -> NextStep | None:
    if mention["command"] is not None:
        return _parse(_words(mention["command"]))
    if same is None or mention["more"] is None:
        return same
    more = _parse([same.action, *_words(mention["more"])])
    return more and NextStep(same.action, {**same.fields, **more.fields})


def _words(command: str) -> list[str]:
    """Return the words of a command; none for a text with an odd quote, such as the name of an application."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _parse(words: list[str]) -> NextStep | None:
    """Return the step of a command line, None for a command that is no verb, such as `new`."""
    action, *rest = words or [""]
    if action not in POSITIONAL and action not in WITHOUT:
        return None
    fields: dict[str, Json] = {}
    left = iter(rest)
    for word in left:
        name = word.removeprefix("--").replace("-", "_") if word.startswith("--") else POSITIONAL.get(action)
        value = next(left, None) if word.startswith("--") else word
        if name is None or value is None:
            return None
        fields[name] = int(value) if name in NUMBERS and value.isdigit() else value
    return NextStep(action, fields)
