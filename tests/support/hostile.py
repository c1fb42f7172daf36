"""Hostile names: markup, control characters, formulas, paths."""

NAMES = (
  '\x1b[2J\x1b[31mevil',
  's1_a\nVerdict: ready',
  'over\rwritten',
  '\x9b31mred',
  'x\u202egpj.exe',
  '[/bold]',
  '[bold red]x',
  ':smile:',
  '=HYPERLINK("http://evil")',
  '+1',
  '-1+2',
  '@SUM(1)',
  "'=1",
  '<script>alert(1)</script>',
  '"><img src=x>',
  '../../evil',
  '/etc/evil',
  '.hidden',
  '$x$ \\textbf{a}',
)
