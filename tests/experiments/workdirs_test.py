"""A workdir of another run or other data is refused."""

import dataclasses
import errno
import json
import types

import pytest

from dianet_jax.core import config as config_lib
from dianet_jax.core import errors, schema
from dianet_jax.experiments import configuration, migrations, workdirs

DATA = types.SimpleNamespace(
  fingerprint='ab', simulated=True, clips=(), subjects=[], listing='12'
)


def test_a_workdir_accepts_only_its_own_configuration_and_data(
  make_config, tmp_path
):
  config = make_config()
  workdir = tmp_path / 'new' / 'run'
  workdirs.check_config(workdir, config)
  workdirs.check_data(workdir, config, DATA)
  workdirs.begin(workdir, config, DATA)
  workdirs.check_config(workdir, config)
  workdirs.check_data(workdir, config, DATA)
  with pytest.raises(errors.UserError, match='seed: 0 there, 3 here'):
    workdirs.check_config(workdir, dataclasses.replace(config, seed=3))
  other = types.SimpleNamespace(fingerprint='cd', simulated=True)
  with pytest.raises(errors.UserError, match='raw data have changed'):
    workdirs.begin(workdir, config, other)


def test_a_workdir_accepts_more_seeds_and_not_fewer(make_config, tmp_path):
  fewer, more = make_config(seeds=2), make_config(seeds=3)
  workdirs.begin(tmp_path, fewer, DATA)
  metrics = tmp_path / 'metrics.json'
  metrics.write_text('{}')
  workdirs.check_config(tmp_path, more)
  assert workdirs.is_finished(tmp_path, fewer)
  assert not workdirs.is_finished(tmp_path, more)
  # The result of fewer seeds is kept until the data were checked.
  other = types.SimpleNamespace(fingerprint='cd', simulated=True)
  with pytest.raises(errors.UserError, match='raw data have changed'):
    workdirs.begin(tmp_path, more, other)
  assert metrics.exists()
  workdirs.begin(tmp_path, more, DATA)
  assert not metrics.exists()
  assert workdirs.load_config(tmp_path) == more
  with pytest.raises(errors.UserError, match='seeds: 3 there, 2 here'):
    workdirs.check_config(tmp_path, fewer)


def test_a_nested_selection_accepts_only_its_own_seeds(make_config, tmp_path):
  config = make_config(study__kind='nested', study__rows=('a:',), seeds=1)
  workdirs.note_config(tmp_path, config)
  with pytest.raises(errors.UserError, match='seeds: 1 there, 2 here'):
    workdirs.check_config(tmp_path, dataclasses.replace(config, seeds=2))


def test_rows_of_an_ablation_are_not_its_identity(make_config, tmp_path):
  def make(kind, rows):
    return make_config(study__kind=kind, study__rows=rows)

  one, other = tmp_path / 'ablation', tmp_path / 'nested'
  one.mkdir()
  workdirs.note_config(one, make('ablation', ('a:',)))
  workdirs.check_config(one, make('ablation', ('a:', 'b:')))
  other.mkdir()
  workdirs.note_config(other, make('nested', ('a:',)))
  with pytest.raises(errors.UserError, match='study.rows'):
    workdirs.check_config(other, make('nested', ('a:', 'b:')))


def test_data_that_were_moved_are_the_same_run(make_config, tmp_path):
  workdirs.begin(tmp_path, make_config(data__manual_dir='/here'), DATA)
  moved = make_config(data__manual_dir='/there', parallel__devices=1)
  workdirs.check_config(tmp_path, moved)
  workdirs.begin(tmp_path, moved, DATA)
  # What the run was begun with stays.
  assert workdirs.load_config(tmp_path).data.manual_dir == '/here'


def test_every_session_is_noted_once(make_config, tmp_path, monkeypatch):
  def saved():
    return json.loads((tmp_path / 'config.json').read_text())

  monkeypatch.setattr(workdirs, 'versions', lambda: {'jax': '1'})
  workdirs.begin(tmp_path, make_config(), DATA)
  workdirs.begin(tmp_path, make_config(), DATA)
  assert saved()['sessions'] == [{'jax': '1'}]
  monkeypatch.setattr(workdirs, 'versions', lambda: {'jax': '2'})
  workdirs.begin(tmp_path, make_config(), DATA)
  assert saved()['sessions'] == [{'jax': '1'}, {'jax': '2'}]
  assert saved()['schema'] == migrations.SCHEMA
  assert saved()['config'] == schema.to_dict(make_config())


def test_old_workdirs_can_be_used_with_a_new_key(
  make_config, tmp_path, monkeypatch
):
  config = make_config(seeds=2)
  workdirs.begin(tmp_path, config, DATA)
  grown = dataclasses.make_dataclass(
    'Config',
    [('future', int, schema.key(7, 'New.', schema.at_least(1)))],
    bases=(config_lib.Config,),
    frozen=True,
  )
  monkeypatch.setattr(configuration, 'Config', grown)
  values = schema.to_dict(config)
  assert workdirs.load_config(tmp_path).future == 7
  workdirs.check_config(tmp_path, configuration.from_mapping(values))
  with pytest.raises(errors.UserError, match='future: 7 there, 8 here'):
    workdirs.check_config(
      tmp_path, configuration.from_mapping(values | {'future': 8})
    )


@pytest.mark.parametrize(
  'change,message',
  [
    ({'schema': migrations.SCHEMA + 1}, 'has schema .* Update dianet-jax'),
    ({'config': {'seed': 'x'}}, "config.json: --config.seed='x' is of type"),
    ({'config': {'sed': 1}}, 'config.json: --config.sed is not'),
  ],
)
def test_a_config_that_cannot_be_read_is_named(
  make_config, tmp_path, change, message
):
  workdirs.begin(tmp_path, make_config(), DATA)
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | change))
  with pytest.raises(errors.UserError, match=message):
    workdirs.check_config(tmp_path, make_config())
  with pytest.raises(errors.UserError, match='is not a workdir'):
    workdirs.load_config(tmp_path / 'other')


def test_one_run_at_a_time_and_empty_workdirs_are_removed(tmp_path):
  workdir = tmp_path / 'deep' / 'run'
  with workdirs.exclusive(workdir):
    for _ in range(2):
      with (
        pytest.raises(errors.UserError, match='Another run is using'),
        workdirs.exclusive(workdir),
      ):
        pass
  assert not workdir.exists()
  with workdirs.exclusive(workdir):
    (workdir / 'config.json').touch()
  # It stays: to remove it would let two runs in.
  assert (workdir / '.lock').exists()
  with workdirs.exclusive(workdir):
    pass


def test_a_deleted_lock_file_does_not_lock(tmp_path, monkeypatch):
  """Another run unlinks the file between our `open` and our `flock`."""
  lock = tmp_path / '.lock'
  flock, times = workdirs.fcntl.flock, []

  def slow(file, operation):
    times.append(operation)
    if len(times) == 1:
      lock.unlink()
    flock(file, operation)

  monkeypatch.setattr(workdirs.fcntl, 'flock', slow)
  with workdirs.exclusive(tmp_path):
    assert len(times) == 2 and lock.exists()
    with (
      pytest.raises(errors.UserError, match='Another run'),
      workdirs.exclusive(tmp_path),
    ):
      pass


def test_a_file_system_without_locks_says_so(tmp_path, monkeypatch):
  def flock(file, operation):
    raise OSError(errno.ENOTSUP, 'Operation not supported')

  monkeypatch.setattr(workdirs.fcntl, 'flock', flock)
  with (
    pytest.raises(errors.UserError, match='cannot be locked .Operation not'),
    workdirs.exclusive(tmp_path / 'run'),
  ):
    pass


@pytest.mark.parametrize('name', ['config.json', 'data.json'])
@pytest.mark.parametrize('content', ['[]', 'null', '{"a": 1}', '[' * 10**5])
def test_invalid_files_in_a_workdir_are_refused(
  make_config, tmp_path, name, content
):
  workdirs.begin(tmp_path, make_config(), DATA)
  (tmp_path / name).write_text(content)
  with pytest.raises(errors.UserError, match=name):
    workdirs.check_config(tmp_path, make_config())
    workdirs.check_data(tmp_path, make_config(), DATA)


@pytest.mark.parametrize('name', ['config.json', 'data.json'])
def test_trainings_of_unknown_origin_are_refused(make_config, tmp_path, name):
  workdirs.begin(tmp_path, make_config(), DATA)
  (tmp_path / name).unlink()
  # Without trainings nothing can be mistaken.
  workdirs.check_config(tmp_path, make_config())
  workdirs.check_data(tmp_path, make_config(), DATA)
  (tmp_path / 'checkpoints/seed0/s1').mkdir(parents=True)
  with pytest.raises(errors.UserError, match=f'no {name}, so their origin is'):
    workdirs.check_config(tmp_path, make_config())
    workdirs.check_data(tmp_path, make_config(), DATA)


def test_other_versions_are_reported_and_recorded(
  make_config, tmp_path, monkeypatch, capsys
):
  for jax in ('0.0.1', '0.0.1', '0.0.2'):
    monkeypatch.setattr(
      workdirs, 'versions', lambda v=jax: {'jax': v, 'numpy': '2'}
    )
    workdirs.begin(tmp_path, make_config(), DATA)
  note = 'trained in sessions with different versions: jax 0.0.1, then 0.0.2'
  assert capsys.readouterr().out.strip() == f'note: {note}'
  sessions = workdirs.sessions(tmp_path)
  assert workdirs.version_note(sessions) == note
  assert workdirs.merged_versions(sessions)['numpy'] == '2'


def test_the_date_of_the_data_is_kept(make_config, tmp_path):
  workdirs.begin(tmp_path, make_config(), DATA)
  path = tmp_path / 'data.json'
  saved = json.loads(path.read_text()) | {'date': '2001-01-01'}
  path.write_text(json.dumps(saved))
  workdirs.begin(tmp_path, make_config(), DATA)
  assert workdirs.load_data(tmp_path)['date'] == '2001-01-01'
