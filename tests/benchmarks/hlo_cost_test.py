"""Costs read from the text of a program as the TPU compiler writes it."""

import pytest

from benchmarks.estimates import hlo_cost

CHIP = hlo_cost.Chip(clock=1e9, bandwidth=1e9, peak=1e9)
# A loop of 5 steps around a matrix product of 700 cycles, a fusion that takes
# one row of a matrix, and one that writes one row; a prefetch and a kernel.
PROGRAM = """HloModule jit_f, is_scheduled=true

%rows (p0: f32[16,128], p1: s32[]) -> f32[1,128] {
  %p0 = f32[16,128]{1,0:T(8,128)} parameter(0)
  %copied = f32[16,128]{1,0:T(8,128)} copy(%p0)
  %p1 = s32[]{:T(128)S(6)} parameter(1)
  ROOT %row = f32[1,128]{1,0:T(1,128)} dynamic-slice(%copied, %p1, %p1)
}

%store (p0.1: f32[16,128], p1.1: f32[1,128], p2.1: s32[]) -> f32[16,128] {
  %p0.1 = f32[16,128]{1,0:T(8,128)} parameter(0)
  %p1.1 = f32[1,128]{1,0:T(1,128)} parameter(1)
  %p2.1 = s32[]{:T(128)S(6)} parameter(2)
  ROOT %u = f32[16,128]{1,0:T(8,128)} dynamic-update-slice(%p0.1, %p1.1, %p2.1)
}

%multiply (p0.2: f32[1,128]) -> f32[1,128] {
  %p0.2 = f32[1,128]{1,0:T(1,128)} parameter(0)
  ROOT %c = f32[1,128]{1,0:T(1,128)} convolution(%p0.2, %p0.2), dim_labels=bf_io
}

%condition (arg: (s32[], f32[16,128])) -> pred[] {
  %bound = s32[]{:T(128)S(6)} constant(5), metadata={op_name="while (5)"}
  %arg = (s32[]{:T(128)S(6)}, f32[16,128]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)S(6)} get-tuple-element(%arg), index=0
  ROOT %lt = pred[]{:T(512)S(6)} compare(%i, %bound), direction=LT
}

%body (arg.1: (s32[], f32[16,128])) -> (s32[], f32[16,128]) {
  %arg.1 = (s32[]{:T(128)S(6)}, /*index=1*/f32[16,128]{1,0:T(8,128)}) parameter(0)
  %i.1 = s32[]{:T(128)S(6)} get-tuple-element(%arg.1), index=0
  %m = f32[16,128]{1,0:T(8,128)} get-tuple-element(%arg.1), index=1
  %f1 = f32[1,128]{1,0:T(1,128)} fusion(%m, %i.1), kind=kLoop, calls=%rows, backend_config={"estimated_cycles":"40"}
  %f2 = f32[1,128]{1,0:T(1,128)S(1)} fusion(%f1), kind=kOutput, calls=%multiply, backend_config={"estimated_cycles":"700"}
  %f3 = f32[16,128]{1,0:T(8,128)} fusion(%m, %f2, %i.1), kind=kLoop, calls=%store, backend_config={"estimated_cycles":"60"}
  ROOT %t = (s32[]{:T(128)S(6)}, f32[16,128]{1,0:T(8,128)}) tuple(%i.1, %f3)
}

ENTRY %main (a: f32[16,128]) -> f32[16,128] {
  %a = f32[16,128]{1,0:T(8,128)} parameter(0)
  %zero = s32[]{:T(128)S(6)} constant(0)
  %start = (f32[16,128]{1,0:T(8,128)S(1)}, f32[16,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%a)
  %done = f32[16,128]{1,0:T(8,128)S(1)} copy-done(%start)
  %t.1 = (s32[]{:T(128)S(6)}, f32[16,128]{1,0:T(8,128)}) tuple(%zero, %a)
  %w = (s32[]{:T(128)S(6)}, f32[16,128]{1,0:T(8,128)}) while(%t.1), condition=%condition, body=%body
  %g = f32[16,128]{1,0:T(8,128)} get-tuple-element(%w), index=1
  ROOT %k = f32[16,128]{1,0:T(8,128)} custom-call(%g, %done), custom_call_target="tpu_custom_call"
}
"""  # noqa: E501
_ROW, _MATRIX = 4 * 128, 4 * 16 * 128


def test_a_loop_counts_as_often_as_it_runs():
  cost = hlo_cost.program_cost(PROGRAM, CHIP)
  assert cost.cycles == 5 * (40 + 700 + 60)
  # A row read and written; read; written. The kernel reads and writes all.
  assert cost.bytes == 5 * (2 * _ROW + _ROW + _ROW) + 2 * _MATRIX
  assert cost.kernels == 1


def test_the_matrix_unit_bounds_products_and_memory_the_rest():
  cost = hlo_cost.program_cost(PROGRAM, CHIP)
  seconds = 5 * (2 * _ROW + 700 + _ROW) + 2 * _MATRIX
  assert cost.seconds == pytest.approx(seconds * 1e-9)
  assert cost.raw_seconds(CHIP) == pytest.approx(4000e-9)


def test_prefetches_are_hidden_or_exposed():
  cost = hlo_cost.program_cost(PROGRAM, CHIP)
  assert cost.copied == _MATRIX
  exposed = cost.exposed_seconds(CHIP) - cost.seconds
  assert exposed == pytest.approx(_MATRIX * 1e-9)
  # Hidden, they still take their share of the bandwidth.
  assert cost.hidden_seconds(CHIP) == pytest.approx(
    max(cost.seconds, (cost.bytes + _MATRIX) * 1e-9)
  )


def test_an_asynchronous_slice_copies_what_it_takes():
  array = 'f32[%d,128]{1,0:T(8,128)%s}'
  start = '  %%s = ((%s), %s, s32[]{:S(2)}) slice-start(%%a), slice={[0:8]}'
  for of, to, rows in (('', 'S(1)', 8), ('', '', 2 * 8), ('S(1)', '', 8)):
    line = start % (array % (32, of), array % (8, to))
    text = f'HloModule f\n\nENTRY %main () -> f32[8,128] {{\n{line}\n}}\n'
    assert hlo_cost.program_cost(text, CHIP).copied == rows * _ROW


@pytest.mark.parametrize(
  'type_, expected',
  [
    ('f32[16,128]{1,0:T(8,128)}', 4 * 16 * 128),
    # 3 channels take 128 places as the minor-most axis, 8 as the second.
    ('u8[10,224,3]{2,1,0:T(8,128)(4,1)}', 10 * 224 * 128),
    ('u8[10,224,3]{1,2,0:T(8,128)(4,1)}', 10 * 256 * 8),
    ('f32[8,2,150528]{2,1,0:T(2,128)}', 4 * 8 * 2 * 150528),
    ('bf16[7,9]{1,0:T(8,128)(2,1)S(1)}', 0),
    ('(s32[]{:T(128)}, pred[5], bf16[3,2])', 4 + 5 + 12),
    ('f32[0,4]{1,0}', 0),
  ],
)
def test_bytes_of_a_type_are_those_of_its_tiles(type_, expected):
  assert hlo_cost.array_bytes(type_) == expected


def test_unknown_trip_count_is_an_error():
  text = PROGRAM.replace('constant(5)', 'add(%i, %i)')
  with pytest.raises(ValueError, match='trip count of condition'):
    hlo_cost.program_cost(text, CHIP)


def test_text_without_a_program_is_an_error():
  with pytest.raises(ValueError, match='no ENTRY'):
    hlo_cost.program_cost('error: no such device', CHIP)
