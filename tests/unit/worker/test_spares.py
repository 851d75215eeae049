import pytest
from modelmill_worker.spares import Spares

KILLED = 9


@pytest.fixture
def spares(tmp_path):
    return Spares(tmp_path / "spare-1")


def test_orders_one_at_a_time(spares):
    folder = spares.order()
    assert folder.scratch.is_dir()
    assert spares.order() is None
    spares.warmed_up(folder)
    assert spares.order() is None
    spares.claim()
    assert spares.order().root != folder.root


def test_gives_a_warm_spare_to_one_claim_only(spares):
    folder = spares.order()
    assert spares.claim() is None
    spares.warmed_up(folder)
    assert spares.claim() == folder
    assert spares.claim() is None
    assert spares.release(folder)
    assert not spares.release(folder)


def test_removes_the_folder_of_a_dead_spare_unless_it_is_claimed(spares):
    dead = spares.order()
    spares.ended(dead, KILLED)
    assert not dead.root.exists()
    claimed = spares.order()
    spares.warmed_up(claimed)
    spares.claim()
    spares.ended(claimed, KILLED)
    assert claimed.root.exists()


def test_gives_up_after_two_deaths_in_a_row(spares):
    spares.ended(spares.order(), KILLED)
    folder = spares.order()
    spares.warmed_up(folder)
    spares.claim()
    spares.ended(spares.order(), KILLED)
    spares.ended(spares.order(), KILLED)
    assert spares.order() is None


def test_ignores_a_word_of_a_spare_that_is_no_longer_the_next(spares):
    old = spares.order()
    spares.ended(old, KILLED)
    spares.order()
    spares.warmed_up(old)
    assert spares.claim() is None


def test_tries_again_where_no_folder_can_be_made(tmp_path):
    spares = Spares(tmp_path / "gone" / "spare-1")
    assert spares.order() is None
    (tmp_path / "gone").mkdir()
    assert spares.order().scratch.is_dir()


def test_has_none_after_the_end(spares):
    folder = spares.order()
    spares.warmed_up(folder)
    spares.close()
    assert not folder.root.exists()
    assert spares.claim() is None
    assert spares.order() is None


def test_has_none_where_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELMILL_SPARES", "off")
    assert Spares(tmp_path / "spare-1").order() is None
