"""The command `check`: whether and how a raw data set can be used.

dianet check --dataset=casme2 --manual_dir=DIR
"""

import argparse
import collections
from collections.abc import Mapping, Sequence
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shlex
from typing import Any

from dianet_jax.core import errors
from tfds_builders import (
  check_report,
  long_video_check,
  long_videos,
  pixels,
  prepare,
  protocols,
  raw_folder,
  registry,
)
from tfds_builders.check_report import BLOCKED, DIFFERS, READY


def check(
  dataset: str,
  manual_dir: str | os.PathLike[str],
  *,
  variant: str = '',
  protocol: str = '',
  annotation_policy: str = raw_folder.DEFAULT_POLICY,
) -> check_report.Report:
  """Examines a raw folder: names and headers of all files, and key frames.

  Args:
    dataset: one of `registry.names()`.
    manual_dir: the folder with the raw data.
    variant: as for `prepare.prepare`.
    protocol: the protocol to compare with; '' counts the clips of all protocols
      of the data set.
    annotation_policy: as for `prepare.prepare`.

  Returns:
    What was found, with verdict and next command.

  Raises:
    errors.UserError: the data set, variant, protocol or policy is unknown; the
      folder holds no clips of the data set; a cell of its spreadsheet cannot be
      used; names contradict each other; clips of two subjects hold the same
      frames.
  """
  builder_cls = prepare.builder_class(dataset, variant)
  prepare.check_policy(annotation_policy)
  facts = registry.facts(dataset)
  names = [protocol] if protocol else list(facts.protocols)
  chosen = {name: protocols.get(name) for name in names}
  found = builder_cls.find(manual_dir, variant, annotation_policy)
  report = check_report.Report(dataset, str(found.root))
  sizes: dict[str, tuple[int, int]] = {}
  dropped: set[str] = set()
  examine = functools.partial(_examine, found, builder_cls, sizes, dropped)
  clips = [
    raw_folder.Clip(clip.clip_id, functools.partial(examine, clip))
    for clip in found.clips
  ]
  checked = raw_folder.check(
    facts.guide,
    dataclasses.replace(found, clips=clips),
    skip_bad_clips=True,
  )
  _describe(report, found, checked, dropped, builder_cls)
  shapes = collections.Counter(sizes[r['clip_id']] for r in checked.records)
  report.frame_sizes = {
    f'{width} x {height}': n for (height, width), n in shapes.most_common()
  }
  report.protocols = {
    name: _count(rules, checked.records) for name, rules in chosen.items()
  }
  if not report.simulated:
    _compare(report, facts.expected)
  # If the complete data set is unknown, only a sole protocol can be compared.
  only = names[0] if facts.expected is None and len(names) == 1 else ''
  _judge(report, protocol or only)
  report.next_command = _next_command(
    report, variant, protocol, annotation_policy
  )
  return report


def _examine(
  found: raw_folder.Found,
  builder_cls: Any,
  sizes: dict[str, tuple[int, int]],
  dropped: set[str],
  clip: raw_folder.Clip,
  witness: pixels.Witness,
) -> dict[str, Any]:
  """Reads a clip of `found` from the names of its files, with few images.

  Adds the size of the first frame to `sizes`, and the clip to `dropped` if the
  policy leaves it out. `witness` sees every header and the decoded images: the
  key frames, if there are any.
  """
  try:
    record = clip.read(decode=False)
  except raw_folder.DroppedClipError:
    dropped.add(clip.clip_id)
    raise
  paths = [pathlib.Path(path) for path in builder_cls.image_paths(record)]
  for path in paths:
    raw_folder.read_header(path, found.root, witness)
  shown = paths
  if found.has_phases:
    indices = {record[name] for name in ('onset', 'apex', 'offset')}
    shown = [paths[index] for index in sorted(indices)]
  decoded = [raw_folder.read_image(p, found.root, witness) for p in shown]
  sizes[record['clip_id']] = decoded[0].shape[:2]
  if any(look.still for look in witness.looks.values()):
    # Between equal key frames there may still be motion.
    for path in paths:
      raw_folder.read_image(path, found.root, witness)
  return record


def _describe(
  report: check_report.Report,
  found: raw_folder.Found,
  checked: raw_folder.Checked,
  dropped: set[str],
  builder_cls: Any,
) -> None:
  """Adds what the folder holds to the report."""
  records = checked.records
  report.simulated = found.simulated
  report.annotation_files = {
    str(path.relative_to(found.root)): (
      hashlib.sha256(path.read_bytes()).hexdigest()
    )
    for path in found.annotation_files
  }
  report.variant = found.variant
  report.layout = os.path.relpath(
    builder_cls.image_paths(records[0])[0], found.root
  )
  report.clips = len(found.clips)
  report.subjects = sorted({record['subject'] for record in records})
  emotions = collections.Counter(_emotion(r['emotion']) for r in records)
  report.emotions = dict(emotions.most_common())
  for record in records:
    numbers = record.get('frame_numbers', [])
    # A stored image represents all frames of its clip.
    report.frames += len(numbers) or 1
    missing = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    if missing:
      report.missing_frames[record['clip_id']] = missing
    if record['notes']:
      report.repairs[record['clip_id']] = record['notes']
  for clip_id, reason in checked.left_out:
    place = report.dropped_clips if clip_id in dropped else report.bad_clips
    place[clip_id] = reason
  report.notes = found.notes + checked.same_frames
  for finding in checked.findings:
    # A few such clips are normal; in most clips it is a mistake.
    most = finding.harmful and 2 * len(finding.clips) > len(records)
    place = report.problems if most else report.notes
    place.append(finding.text(len(records)))


def _emotion(text: str) -> str:
  """An annotated emotion; copies of SAMM have 'Other' or 'Others'."""
  emotion = text.strip().casefold()
  return 'others' if emotion == 'other' else emotion


def _count(
  protocol: protocols.Protocol, records: Sequence[Mapping[str, Any]]
) -> check_report.ProtocolCounts:
  """Counts of the records that belong to a protocol."""
  labels = [protocol.class_of(r['clip_id'], r['emotion']) for r in records]
  kept = [(r, c) for r, c in zip(records, labels, strict=True) if c is not None]
  subjects = [record['subject'] for record, _ in kept]
  labels = [label for _, label in kept]
  return check_report.ProtocolCounts(
    {name: labels.count(i) for i, name in enumerate(protocol.classes)},
    len(set(subjects)),
    [
      *protocol.unexpected(
        [r['clip_id'] for r in records], [r['emotion'] for r in records]
      ),
      *protocol.differences(
        [r['dataset'] for r, _ in kept],
        subjects,
        labels,
        [r['clip_id'] for r, _ in kept],
      ),
    ],
  )


def _compare(
  report: check_report.Report, expected: registry.Expected | None
) -> None:
  """Adds differences from the complete data set to the problems."""
  if expected is None:
    report.notes.append('the counts of the complete data set are not known')
    return
  report.expected_clips = list(expected.clips)
  report.expected_subjects = expected.subjects
  if report.clips not in expected.clips:
    number = ' or '.join(map(str, expected.clips))
    report.problems.append(f'{report.clips} clips annotated, expected {number}')
  if len(report.subjects) != expected.subjects:
    report.problems.append(
      f'{len(report.subjects)} subjects with usable clips, expected '
      f'{expected.subjects}'
    )
  # Another version of the spreadsheet has other counts.
  if report.clips in expected.clips[1:]:
    return
  complete = {_emotion(name): n for name, n in expected.emotions.items()}
  for emotion in complete | report.emotions:
    there, wanted = report.emotions.get(emotion, 0), complete.get(emotion, 0)
    if there != wanted:
      report.problems.append(
        f"{there} usable clips of '{emotion}', expected {wanted}"
      )


def _judge(report: check_report.Report, protocol: str) -> None:
  """Adds the remaining problems and sets the verdict."""
  if protocol and not report.simulated:
    differences = report.protocols[protocol].differences
    report.problems += [f'{protocol}: {text}' for text in differences]
  report.verdict = DIFFERS if report.problems else READY
  counts = report.protocols.values()
  if not any(sum(counts.clips.values()) for counts in counts):
    names = ', '.join(report.protocols)
    report.problems.insert(
      0,
      f'no clip belongs to a protocol ({names})'
      if names
      else f'{report.dataset} declares no protocol: give --protocol',
    )
    report.verdict = BLOCKED
  if report.bad_clips:
    report.problems.insert(
      0,
      f'{len(report.bad_clips)} of {report.clips} clips cannot be used: repair '
      'or restore them, or leave them out (skip_bad_clips)',
    )
    report.verdict = BLOCKED


def _next_command(
  report: check_report.Report, variant: str, protocol: str, policy: str
) -> str:
  """The command that trains on what was found."""
  options = {
    'manual_dir': report.manual_dir,
    'variant': variant,
    'protocol': protocol,
    'annotation_policy': '' if policy == raw_folder.DEFAULT_POLICY else policy,
    # With 'strict' the data must be repaired: it stops at every doubt.
    'skip_bad_clips': (
      'true' if report.bad_clips and policy != 'strict' else ''
    ),
  }
  return registry.train_command(report.dataset, options)


def main(arguments: Sequence[str]) -> int:
  """Prints the report.

  Args:
    arguments: those of the command line, without the program.

  Returns:
    0 if the verdict is READY, else 1.
  """
  parser = argparse.ArgumentParser(
    prog='dianet check',
    description='Reports in seconds whether a raw data set can be used.',
  )
  parser.add_argument(
    '--dataset',
    required=True,
    help=f'one of {", ".join([*registry.names(), *long_videos.SETS])}',
  )
  parser.add_argument(
    '--manual_dir', required=True, help='folder of the raw data set'
  )
  parser.add_argument(
    '--variant',
    default='',
    help='variant of the layout, if the data set has several',
  )
  parser.add_argument(
    '--protocol',
    default='',
    help='protocol whose clips are counted (default: all)',
  )
  parser.add_argument(
    '--annotation_policy',
    default=raw_folder.DEFAULT_POLICY,
    help='what to do about wrong annotations: '
    f'{", ".join(raw_folder.POLICIES)} (default: {raw_folder.DEFAULT_POLICY})',
  )
  parser.add_argument(
    '--json', action='store_true', help='print the report as JSON'
  )
  options = vars(parser.parse_args(arguments))
  as_json = options.pop('json')
  if options['dataset'] in long_videos.SETS:
    return long_video_check.show(
      options['dataset'], options['manual_dir'], as_json
    )
  try:
    report = check(**options)
  except errors.UserError as error:
    report = check_report.Report(
      options['dataset'], os.path.abspath(options['manual_dir'])
    )
    report.problems.append(str(error))
    report.next_command = shlex.join(
      ['dianet', 'check']
      + [
        f'--{key}={value}'
        for key, value in options.items()
        if value != parser.get_default(key)
      ]
    )
  if as_json:
    print(json.dumps(dataclasses.asdict(report), indent=2))
  else:
    print(report.text())
  return 0 if report.verdict == READY else 1
