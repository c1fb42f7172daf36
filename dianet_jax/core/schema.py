"""Configuration keys: declaration, parsing, checks, listing.

A section is a frozen dataclass, and a key is a field of it, declared by `key`
with type, default, help text and check.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import difflib
import functools
import json
import sys
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from dianet_jax.core import errors, escape

# Upper limit of numbers of layers, features, ...
_MOST = 100_000


class Check(NamedTuple):
  """A condition on a value of the right type.

  Attributes:
    holds: value -> whether it is valid.
    expected: the condition in words, to follow 'expected'.
  """

  holds: Callable[[Any], bool]
  expected: str


def between(least: float, most: float) -> Check:
  """Requires a number from `least` to `most`.

  Limits exclude values that would exceed any memory or take years, which are
  always typing errors.
  """
  return Check(
    lambda value: least <= value <= most, f'at least {least}, at most {most:,}'
  )


def at_least(least: float) -> Check:
  """Requires a number from `least` to a large limit; see `between`."""
  return between(least, _MOST)


def one_of(*names: str) -> Check:
  """One of a few texts."""
  return Check(
    lambda value: value in names,
    'one of ' + ', '.join(name or "''" for name in names),
  )


ABOVE_ZERO = Check(
  lambda value: 0 < value <= _MOST, f'above 0, at most {_MOST:,}'
)
BELOW_ONE = Check(lambda value: 0 <= value < 1, '0 to below 1')
SHARE = Check(lambda value: 0 <= value <= 1, '0 to 1')


def key(default: Any, help_: str, check: Check | None = None) -> Any:
  """Declares a key: a field of a section with default, help text and check."""
  return dataclasses.field(
    default=default, metadata={'help': help_, 'check': check}
  )


def section(cls: type, help_: str = '') -> Any:
  """Declares a field that is a section itself."""
  return dataclasses.field(default_factory=cls, metadata={'help': help_})


# Key of a section with several classes -> (name -> class).
Sections = Mapping[str, Callable[[str], type]]


def parse(values: Mapping[str, Any], cls: type, sections: Sections) -> Any:
  """Converts nested values to a configuration; missing keys get defaults.

  Args:
    values: nested mappings, from a ConfigDict or a JSON file.
    cls: class of the whole configuration.
    sections: 'model' and 'objective' -> (name -> class of its settings); the
      name is '' if `values` has none, and the class then has a default.

  Returns:
    An instance of `cls`.

  Raises:
    UserError: an unknown key (with the nearest valid one), or a value of the
      wrong type or out of range.
  """
  chosen = choose(values, sections)
  values = {section_: {} for section_ in chosen} | dict(values)
  return _parse(values, cls, '', chosen, known_keys(cls, chosen))


def choose(values: Mapping[str, Any], sections: Sections) -> dict[str, type]:
  """Each of `sections` -> the class selected by its name in `values`."""
  chosen = {}
  for section_, choose_class in sections.items():
    own = values.get(section_, {})
    name = own.get('name', '') if isinstance(own, Mapping) else ''
    chosen[section_] = choose_class(_convert(name, str, f'{section_}.name'))
  return chosen


def known_keys(cls: type, chosen: Mapping[str, type]) -> dict[str, 'Key']:
  """Every key of a configuration, for the chosen classes of sections."""
  known = all_keys(cls())
  for section_, section_cls in chosen.items():
    known |= all_keys(section_cls(), f'{section_}.')
  return known


def _parse(
  values: Any,
  cls: type,
  prefix: str,
  chosen: Mapping[str, type],
  known: Mapping[str, 'Key'],
) -> Any:
  fields = [field.name for field in dataclasses.fields(cls)]
  if not isinstance(values, Mapping):
    raise errors.UserError(
      f'--config.{prefix}={values!r} must be a section with the keys '
      + ', '.join(fields)
    )
  types, found = get_type_hints(cls), {}
  for name, value in values.items():
    dotted = f'{prefix}.{name}' if prefix else name
    if name not in fields:
      raise errors.UserError(unknown_key(dotted, known))
    wanted = chosen.get(dotted, types[name])
    if dataclasses.is_dataclass(wanted):
      found[name] = _parse(value, wanted, dotted, chosen, known)
      continue
    found[name] = _convert(value, wanted, dotted)
    check = _declared(cls, name).get('check')
    if check and not check.holds(found[name]):
      raise errors.UserError(out_of_range(dotted, value, check.expected))
  return cls(**found)


def _declared(cls: type, name: str) -> Mapping[str, Any]:
  """The arguments of `key` of a field; subclasses may override the default."""
  for base in cls.__mro__:
    field = vars(base).get('__dataclass_fields__', {}).get(name)
    if field is not None and field.metadata:
      return field.metadata
  return {}


def _convert(value: Any, wanted: Any, name: str) -> Any:
  """Converts a value to a type, or raises a UserError that names the key."""
  if get_origin(wanted) is tuple:
    item = get_args(wanted)[0]
    if isinstance(value, (list, tuple)):
      return tuple(
        _convert(v, item, f'{name}[{i}]') for i, v in enumerate(value)
      )
  elif wanted is float and type(value) in (int, float):
    if not abs(value) <= sys.float_info.max:
      raise errors.UserError(out_of_range(name, value, 'a finite number'))
    return float(value)
  elif type(value) is wanted:
    if wanted is str and not escape.is_plain(value):
      raise errors.UserError(
        f'--config.{name}={value!r} contains a control character (such as a'
        ' line break). Remove it.'
      )
    return value
  type_ = getattr(wanted, '__name__', None) if not get_args(wanted) else 'tuple'
  raise errors.UserError(
    f'--config.{name}={value!r} is of type {type(value).__name__},'
    f' expected {type_}.'
  )


def out_of_range(name: str, value: Any, expected: str) -> str:
  """The message for a value out of range."""
  return f'--config.{name}={value!r} is out of range: expected {expected}.'


_IN_WORDS = {int: 'a whole number', float: 'a number', bool: 'true or false'}


class Key(NamedTuple):
  """One key, for messages and for the reference table.

  Attributes:
    takes: allowed values, in words.
    default: default value.
    help: help text.
  """

  takes: str
  default: Any
  help: str


def all_keys(config: Any, prefix: str = '') -> dict[str, Key]:
  """Every key of a section or a `Config`, as written after `--config.`."""
  found = {}
  types = get_type_hints(type(config))
  for field in dataclasses.fields(config):
    value, name = getattr(config, field.name), prefix + field.name
    if dataclasses.is_dataclass(value):
      found |= all_keys(value, f'{name}.')
      continue
    wanted = types[field.name]
    takes = _IN_WORDS.get(wanted, 'a text')
    if get_origin(wanted) is tuple:
      takes = 'a tuple, such as "(1,)"'
    help_ = _declared(type(config), field.name).get('help', '')
    found[name] = Key(takes, field.default, help_)
  return found


def unknown_key(name: str, known: Iterable[str]) -> str:
  """The message for an unknown dotted key."""
  known = list(known)
  # Naming a key of another section is as common as misspelling one.
  last = name.rsplit('.', 1)[-1]
  near = [k for k in known if k.rsplit('.', 1)[-1] == last]
  near = near or difflib.get_close_matches(name, known, 1, 0.0)
  return (
    f'--config.{name} is not a configuration key. The nearest is'
    f' --config.{near[0]}; docs/configuration.md lists them all.'
  )


def value_of(config: Any, name: str) -> Any:
  """The value of a dotted key."""
  return functools.reduce(getattr, name.split('.'), config)


def to_dict(config: Any) -> dict[str, Any]:
  """Converts a configuration to nested plain values, as read from JSON."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def differences(old: Any, new: Any, prefix: str = '') -> list[str]:
  """Describes the keys whose values differ between two nested dicts.

  Args:
    old: of the workdir.
    new: of this run.
    prefix: of the keys.

  Returns:
    One line for each key.
  """
  lines = []
  for name in sorted(old.keys() | new.keys()):
    before, now = old.get(name), new.get(name)
    if isinstance(before, dict) and isinstance(now, dict):
      lines += differences(before, now, f'{prefix}{name}.')
    elif before != now:
      lines.append(f'  {prefix}{name}: {before!r} there, {now!r} here')
  return lines
