"""The repository has no files that must not be committed."""

import subprocess

import pytest

from tests.support import committed, documents


def test_no_faces_and_no_large_files(monkeypatch):
  monkeypatch.chdir(documents.ROOT)
  listed = subprocess.run(
    ['git', 'ls-files'], capture_output=True, text=True, check=False
  )
  if listed.returncode:
    pytest.skip('this is no checkout')
  files = listed.stdout.splitlines()
  assert len(files) > 100
  assert committed.faults(files) == []


def test_an_image_and_a_large_file_are_found(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'large.bin').write_bytes(bytes(committed.LARGEST_BYTES + 1))
  found = committed.faults(
    ['sub01/img1.JPG', 'large.bin', 'docs/motion/mm_cof.png']
  )
  assert [text.split(':')[0] for text in found] == [
    'sub01/img1.JPG',
    'large.bin',
  ]
