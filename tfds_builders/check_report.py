"""What `check` found, as plain values and as text."""

from collections.abc import Iterable
import dataclasses
import textwrap

READY, DIFFERS, BLOCKED = 'ready', 'differs', 'blocked'
_MEANING = {
  READY: 'The data can be used; what was checked is as expected.',
  DIFFERS: (
    'The data can be used, but are not the complete data set as published: '
    'results on them are not comparable with published ones.'
  ),
  BLOCKED: 'The data cannot be used as they are.',
}
_NOT_CHECKED = (
  'most pixels: of every clip only the onset, apex and offset frames were '
  'decoded, of the others name and header were read. Preparing decodes every '
  'frame, and looks for frames that two clips share, and for black ones.'
)
# A screen each; JSON has them all.
_MOST_LISTED = 10
_LONGEST_LINE = 300


@dataclasses.dataclass(frozen=True)
class ProtocolCounts:
  """What is there of a protocol.

  Attributes:
    clips: class name -> clips.
    folds: subjects with a clip of the protocol.
    differences: from the complete data set, a sentence each.
  """

  clips: dict[str, int]
  folds: int
  differences: list[str]


@dataclasses.dataclass
class Report:
  """What was found in a raw folder; plain values, for JSON.

  Attributes:
    dataset: as asked for.
    manual_dir: the folder, absolute.
    verdict: READY, DIFFERS or BLOCKED.
    problems: what speaks against READY, a sentence each.
    next_command: what to run now.
    not_checked: what only preparing the data set would tell.
    simulated: whether the data were simulated; nothing is expected then.
    annotation_files: path relative to the folder -> SHA-256, which tells
      versions of a spreadsheet apart; none where folders tell the emotion.
    variant: of the layout, or ''.
    layout: the first frame's path, relative to the folder.
    clips: annotated.
    expected_clips: the numbers of a complete data set; [] where unknown.
    subjects: with a usable clip, sorted.
    expected_subjects: their number when complete, or None.
    emotions: raw emotion in lower case -> usable clips.
    frames: of usable clips, onset to offset.
    frame_sizes: 'width x height' -> clips, of their first frames.
    missing_frames: clip id -> frames missing between its first and last.
    repairs: clip id -> what was repaired or chosen.
    bad_clips: clip id -> why it cannot be used.
    dropped_clips: clip id -> why the policy leaves it out.
    protocols: name -> counts.
    notes: choices made in reading the folder.
  """

  dataset: str
  manual_dir: str
  verdict: str = BLOCKED
  problems: list[str] = dataclasses.field(default_factory=list)
  next_command: str = ''
  not_checked: str = _NOT_CHECKED
  simulated: bool = False
  annotation_files: dict[str, str] = dataclasses.field(default_factory=dict)
  variant: str = ''
  layout: str = ''
  clips: int = 0
  expected_clips: list[int] = dataclasses.field(default_factory=list)
  subjects: list[str] = dataclasses.field(default_factory=list)
  expected_subjects: int | None = None
  emotions: dict[str, int] = dataclasses.field(default_factory=dict)
  frames: int = 0
  frame_sizes: dict[str, int] = dataclasses.field(default_factory=dict)
  missing_frames: dict[str, int] = dataclasses.field(default_factory=dict)
  repairs: dict[str, str] = dataclasses.field(default_factory=dict)
  bad_clips: dict[str, str] = dataclasses.field(default_factory=dict)
  dropped_clips: dict[str, str] = dataclasses.field(default_factory=dict)
  protocols: dict[str, ProtocolCounts] = dataclasses.field(default_factory=dict)
  notes: list[str] = dataclasses.field(default_factory=list)

  def text(self) -> str:
    """The report as lines of text, verdict and next command last."""
    lines = [f'{self.dataset} in {self.manual_dir}']
    if self.simulated:
      lines.append('  The data are SIMULATED: nothing is expected of them.')
    if self.clips:
      lines += self._findings()
    lines += _listing('Repairs and choices', self.repairs)
    lines += _listing('Dropped by the policy', self.dropped_clips)
    lines += _listing('Bad clips', self.bad_clips)
    lines += [f'Problems ({len(self.problems)}):'] if self.problems else []
    lines += [textwrap.indent(_shorten(p), '  ') for p in self.problems]
    if self.clips:
      lines += [f'Not checked: {self.not_checked}']
    lines += [
      f'Verdict: {self.verdict}. {_MEANING[self.verdict]}',
      'Next:' if self.clips else 'After mending it:',
      f'  {self.next_command}',
    ]
    return '\n'.join(lines)

  def _findings(self) -> list[str]:
    """What is there beside what is expected."""
    expected_clips = ' or '.join(map(str, self.expected_clips))
    missing = sum(self.missing_frames.values())
    rows = [
      ('layout', ': '.join(filter(None, (self.variant, self.layout)))),
      *(
        ('annotations', f'{name} (sha256 {digest[:12]})')
        for name, digest in self.annotation_files.items()
      ),
      ('clips', _beside(self.clips, expected_clips)),
      ('subjects', _beside(len(self.subjects), self.expected_subjects)),
      ('emotions', _counts(self.emotions)),
      (
        'frames',
        f'{self.frames} from onset to offset, {missing} missing between them',
      ),
      ('frame size', _counts(self.frame_sizes, ': ')),
    ]
    for name, counts in self.protocols.items():
      clips = sum(counts.clips.values())
      rows.append(
        (
          name,
          f'{clips} clips, {counts.folds} folds: {_counts(counts.clips)}',
        )
      )
      if not self.simulated:
        rows += [
          ('', f'differs: {_shorten(text)}') for text in counts.differences
        ]
    rows += [('note', note) for note in self.notes]
    width = max(len(name) for name, _ in rows)
    return [f'  {name:<{width}}  {value}'.rstrip() for name, value in rows]


def _shorten(text: str) -> str:
  """Lines that list many clips, cut; JSON has them whole."""
  return '\n'.join(
    line if len(line) <= _LONGEST_LINE else f'{line[:_LONGEST_LINE]} ...'
    for line in text.splitlines()
  )


def _beside(number: int, expected: object) -> str:
  return f'{number}, expected {expected}' if expected else str(number)


def _counts(counts: dict[str, int], separator: str = ' ') -> str:
  """'disgust 63, fear 2', the first of many."""
  items = list(counts.items())
  texts = [f'{name}{separator}{n}' for name, n in items[:_MOST_LISTED]]
  if len(items) > _MOST_LISTED:
    texts.append(f'{len(items) - _MOST_LISTED} more')
  return ', '.join(texts)


def _listing(title: str, reasons: dict[str, str]) -> Iterable[str]:
  """The first of `reasons` by clip, a line each, below a title."""
  if not reasons:
    return []
  items = list(reasons.items())
  lines = [f'  {clip_id}: {why}' for clip_id, why in items[:_MOST_LISTED]]
  if len(items) > _MOST_LISTED:
    lines.append(f'  and {len(items) - _MOST_LISTED} more (all with --json)')
  return [f'{title} ({len(items)}):', *lines]
