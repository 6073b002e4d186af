from pathlib import Path

import pytest

from services.appliance.supervisor.up import UpFailed
from services.cli.system.prepare import prepare_system
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import Keyring, MasterKey, MasterKeyInvalid, decrypt, encrypt


def test_the_master_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = MasterKey.open(tmp_path), MasterKey.open(tmp_path)
    assert first.derive_key("access") == second.derive_key("access") != first.derive_key("keyring")
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_numbers_of_keys_are_never_used_twice_by_processes_side_by_side(tmp_path: Path) -> None:
    master = MasterKey.open(tmp_path)
    a, b = Keyring(tmp_path / "keyring.db", master), Keyring(tmp_path / "keyring.db", master)
    numbered_keys = [ring.take_key() for _ in range(300) for ring in (a, b)]
    assert (
        len({number for number, _ in numbered_keys})
        == len({key for _, key in numbered_keys})
        == 600
    )
    for number, key in numbered_keys[::50]:
        assert a.key(number) == b.key(number) == key
    a.close()
    b.close()


def test_an_erased_key_is_gone_from_every_file(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keyring.db", MasterKey.open(tmp_path))
    number, _ = ring.take_key()
    wrapped = ring._db.execute("SELECT wrapped FROM keys WHERE id = ?", (number,)).fetchone()[0]
    ring.erase([number])
    assert ring.key(number) is None
    assert not any(wrapped in f.read_bytes() for f in tmp_path.glob("keyring.db*"))
    ring.close()


def test_untaken_keys_are_returned_at_the_end(tmp_path: Path) -> None:
    master = MasterKey.open(tmp_path)
    ring = Keyring(tmp_path / "keyring.db", master)
    number, key = ring.take_key()
    ring.close()
    again = Keyring(tmp_path / "keyring.db", master)
    assert again._db.execute("SELECT count(*) FROM keys").fetchone() == (1,)
    assert again.key(number) == key
    again.close()


def test_a_master_key_that_is_gone_is_not_replaced_by_another_one(tmp_path: Path) -> None:
    """A new key encrypted later texts, so either these or all earlier ones were lost."""
    Keyring(tmp_path / "keyring.db", MasterKey.open(tmp_path)).close()
    key_bytes = (tmp_path / "master.key").read_bytes()
    (tmp_path / "master.key").unlink()
    with pytest.raises(MasterKeyInvalid, match="put it back"):
        MasterKey.open(tmp_path)
    assert not (tmp_path / "master.key").exists()
    (tmp_path / "master.key").write_bytes(key_bytes)
    MasterKey.open(tmp_path)


def test_another_master_key_is_named_not_misread(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keyring.db", MasterKey(b"a" * 32))
    number, _ = ring.take_key()
    other = Keyring(tmp_path / "keyring.db", MasterKey(b"b" * 32))
    with pytest.raises(MasterKeyInvalid):
        other.key(number)
    ring.close()
    other.close()


def test_a_sealed_value_is_bound_to_its_place() -> None:
    sealed = encrypt(b"k" * 32, b"value", b"here")
    assert decrypt(b"k" * 32, sealed, b"here") == b"value"
    for key, value, place in (
        (b"k" * 32, sealed, b"there"),
        (b"x" * 32, sealed, b"here"),
        (b"k" * 32, sealed[:-1] + b"?", b"here"),
    ):
        with pytest.raises(ValueError, match="another key"):
            decrypt(key, value, place)


async def test_nothing_starts_with_the_master_key_of_another_installation(tmp_path: Path) -> None:
    """Accounts, names and texts would silently be gone, and new ones made beside them."""
    settings = Settings(data_dir=tmp_path)
    settings.data.make()
    keyring = Keyring(settings.data.secrets / "keyring.db", MasterKey.open(settings.data.secrets))
    keyring.take_key()
    keyring.close()
    (settings.data.secrets / "master.key").write_bytes(bytes(32))
    with pytest.raises(UpFailed, match="another master key"):
        await prepare_system(settings)
    (settings.data.secrets / "keyring.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(UpFailed, match="is damaged"):
        await prepare_system(settings)
