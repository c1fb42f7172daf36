"""The report of `check`, as plain values and as text."""

from collections.abc import Iterable
import dataclasses
import textwrap

READY, DIFFERS, BLOCKED = 'ready', 'differs', 'blocked'
_MEANING = {
  READY: 'The data can be used; everything that was checked is as expected.',
  DIFFERS: (
    'The data can be used, but are not the complete data set as published: '
    'results on them are not comparable with published ones.'
  ),
  BLOCKED: 'The data cannot be used as they are.',
}
_NOT_CHECKED = (
  'most pixels: only the onset, apex and offset frame of each clip were '
  'decoded, and name and header of the others were read. Preparing decodes '
  'every frame, and also finds black frames and frames shared by two clips.'
)
# At most a screen of each list; JSON has everything.
_MOST_LISTED = 10
_LONGEST_LINE = 300


@dataclasses.dataclass(frozen=True)
class ProtocolCounts:
  """Clips of a protocol in a folder.

  Attributes:
    clips: class name -> number of clips.
    folds: number of subjects with a clip of the protocol.
    differences: from the complete data set, one sentence each.
  """

  clips: dict[str, int]
  folds: int
  differences: list[str]


@dataclasses.dataclass
class Report:
  """Findings about a raw folder, as plain values for JSON.

  Attributes:
    dataset: name of the data set, as requested.
    manual_dir: the folder, absolute.
    verdict: READY, DIFFERS or BLOCKED.
    problems: why the verdict is not READY, one sentence each.
    next_command: the command to run next.
    not_checked: what only preparing the data set can show.
    simulated: whether the data were simulated; then no counts are expected.
    annotation_files: path relative to the folder -> SHA-256, which identifies
      the version of a spreadsheet; empty if folders name the emotion.
    variant: variant of the layout, or ''.
    layout: path of the first frame, relative to the folder.
    clips: number of annotated clips.
    expected_clips: numbers of clips in the complete data set; [] if unknown.
    subjects: subjects with a usable clip, sorted.
    expected_subjects: their number in the complete data set; None if unknown.
    emotions: raw emotion in lower case -> number of usable clips.
    frames: number of frames of usable clips, onset to offset.
    frame_sizes: 'width x height' of the first frame -> number of clips.
    missing_frames: clip id -> number of frames missing between first and last.
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
      lines.append('  The data are SIMULATED: no counts are expected.')
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
      'Next:' if self.clips else 'Once that is solved:',
      f'  {self.next_command}',
    ]
    return '\n'.join(lines)

  def _findings(self) -> list[str]:
    """Lines with found and expected counts."""
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
        f'{self.frames} from onset to offset, {missing} missing in between',
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
  """Shortens lines that list many clips; JSON has them in full."""
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
  """A title, and below it the first reasons, one line per clip."""
  if not reasons:
    return []
  items = list(reasons.items())
  lines = [f'  {clip_id}: {why}' for clip_id, why in items[:_MOST_LISTED]]
  if len(items) > _MOST_LISTED:
    lines.append(f'  and {len(items) - _MOST_LISTED} more (all with --json)')
  return [f'{title} ({len(items)}):', *lines]
