from modelmill.cli.tables import number, seconds, size, table


def test_columns_are_as_wide_as_what_is_in_them():
    assert table(("a", "long header"), [("wide cell", "x"), ("y", "z")]).splitlines() == [
        "a          long header",
        "---------  -----------",
        "wide cell  x",
        "y          z",
    ]


def test_a_table_without_rows_is_nothing():
    assert table(("a",), []) == ""


def test_numbers_are_for_people():
    assert [size(count) for count in (0, 1023, 1536, 5 << 20, 3 << 30, 2 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 GiB",
        "2.0 TiB",
    ]
    assert [seconds(value) for value in (0.004, 1.234, 12.34)] == ["0.00", "1.23", "12"]
    assert number(1.23456e-7) == "1.23e-07"
