"""CSV tables as people and spreadsheets write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.intake.columns import Columns
from models.intake.table import Row, Table, TableError, read_table

COLUMNS = Columns(("path",), ("vehicle_id", "camera_id", "tags"), elsewhere=("role",))
PLAIN = [
    Row(2, {"path": "a.jpg", "vehicle_id": "bus 9", "camera_id": "gate-3"}),
    Row(3, {"path": "b.jpg", "vehicle_id": "", "camera_id": "é"}),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


@pytest.mark.parametrize(
    "text",
    [
        "path,vehicle_id,camera_id\na.jpg,bus 9,gate-3\nb.jpg,,é\n",
        "path, vehicle_id , camera_id\na.jpg, bus 9, gate-3\nb.jpg, , é \n",
        'path, vehicle_id, camera_id\n"a.jpg", "bus 9", "gate-3"\nb.jpg,"",é',
        "Path;Vehicle ID;CAMERA-ID\na.jpg;bus 9;gate-3\nb.jpg;;é\n",
        "path\tvehicleId\tcamera_id\r\na.jpg\tbus 9\tgate-3\r\nb.jpg\t\té\r\n",
        "path|vehicle_id|camera_id\ra.jpg|bus 9|gate-3\rb.jpg||é\r",
        "path,vehicle_id,camera_id\na.jpg,bus 9,gate-3,,\nb.jpg,,é,,\n",
        "path,vehicle_id,camera_id,,\na.jpg,bus 9,gate-3,,\nb.jpg,,é,,\n\n,,,,\n",
    ],
    ids=["plain", "blanks", "quotes", "semicolons", "tabs", "bars", "empty-tail", "nameless-columns"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_however_it_is_written_the_same_rows_are_read(path: Path, text: str, encoding: str) -> None:
    path.write_bytes(text.encode(encoding))
    table = read_table(path, COLUMNS)
    assert (table.rows, table.faults) == (PLAIN, [])


def test_a_big_endian_mark_and_a_declared_delimiter_are_understood(path: Path) -> None:
    text = "sep=;\r\npath;vehicle_id\r\na.jpg;x\r\n"
    path.write_bytes(codecs.BOM_UTF16_BE + text.encode("utf-16-be"))
    assert read_table(path, COLUMNS).rows == [Row(3, {"path": "a.jpg", "vehicle_id": "x"})]


def test_another_encoding_is_refused_with_byte_line_and_remedy_and_read_when_named(path: Path) -> None:
    path.write_bytes("path,vehicle_id\na.jpg,v\ncafé.jpg,v\n".encode("cp1252"))
    with pytest.raises(TableError, match=r"list\.csv, line 3: is not UTF-8: byte 0xE9 at 27.*name its enc"):
        read_table(path, COLUMNS, remedy="name its encoding")
    assert read_table(path, COLUMNS, encoding="cp1252").rows[1].values["path"] == "café.jpg"


def test_a_mark_wins_over_the_encoding_that_is_named(path: Path) -> None:
    path.write_bytes("path\né.jpg\n".encode("utf-8-sig"))
    assert read_table(path, COLUMNS, encoding="cp1252").rows[0].values["path"] == "é.jpg"


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (b"path\nx\n", "no-such", "'no-such' is no encoding of text"),
        (b"path\nx\n", "base64", "'base64' is no encoding of text"),
        ("path\nx\n".encode("utf-16-le"), None, "line 1: holds zero bytes: it is utf-16-le or"),
        ("path\nö\n".encode("utf-16-be"), None, "line 1: holds zero bytes: it is utf-16-le or"),
        (codecs.BOM_UTF16_LE + b"p\0a", None, "is not utf-16-le"),
        (b"\xff\xd8\xff\xe0 a JPEG", None, "line 1: is not UTF-8: byte 0xFF at 0"),
        (b"", None, "is empty"),
        (b"\n \n\n", None, "is empty"),
        (b"path,vehicle_id\n", None, "lists no image"),
        (b"path,vehicle_id\n,\n\n", None, "lists no image"),
        (b"path,vehicle_id,Vehicle ID\nx,1,2\n", None, "line 1: column vehicle_id comes twice"),
        (b"filename,vehicle_id\nx,1\n", None, r"column path is missing; it names filename \(path\?\)"),
        (b"a.jpg,bus\n", None, "column path is missing; it names a.jpg, bus"),
        (b"path,camera,time\nx,1,2\n", None, r"line 1: not known: column camera \(camera_id\?\); rename"),
        (b"path,vehicel_id\nx,1\n", None, r"vehicel_id \(vehicle_id\?\)"),
        (b"path,\x1b[31m\xe2\x80\xaecamera\nx,1\n", None, r"\\x1b\[31m\\u202ecamera"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(
    path: Path, data: bytes, encoding: str | None, message: str
) -> None:
    path.write_bytes(data)
    columns = COLUMNS if b"\x1b" not in data else Columns(("path",), strict=True)
    with pytest.raises(TableError, match=message) as caught:
        read_table(path, columns, encoding=encoding)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


PIECES = [
    b"path",
    b"vehicle_id",
    b"a.jpg",
    b",",
    b";",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b" ",
    b"\0",
    b"\xe9",
    b"\xff\xfe",
    b"sep=;",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=30).map(b"".join))
def test_whatever_the_bytes_each_line_is_a_row_a_fault_or_refused_with_all(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    refusal = ""
    table: Table | None
    try:
        table = read_table(path, COLUMNS)
    except TableError as error:
        refusal = str(error)
        table = None
    assert refusal.isprintable()
    if table:
        assert table.rows or table.faults
        assert all(set(row.values) == set(table.columns) for row in table.rows)


def test_what_is_no_file_is_reported(tmp_path: Path) -> None:
    for name, message in (("gone.csv", "does not exist"), (".", "is no file")):
        with pytest.raises(TableError, match=message):
            read_table(tmp_path / name, COLUMNS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c.jpg,bus, red,gate-3", "has 4 values for 3 columns, 'gate-3' beyond them"),
        ("c.jpg,bus", "camera_id is empty: it has 2 values for 3 columns"),
        ("c.jpg", "vehicle_id is empty: it has 1 values for 3 columns"),
        ('c.jpg,"bus" 9,gate-3', "is no row of a CSV table"),
        (f"c.jpg,{'x' * 200_000},gate-3", "field larger than field limit"),
        ("c.jpg,b\0s,gate-3", "holds zero bytes"),
    ],
)
def test_a_faulty_row_is_named_and_harms_no_other(path: Path, row: str, reason: str) -> None:
    path.write_text(f"path,vehicle_id,camera_id\na.jpg,v,c\n\n{row}\nd.jpg,v,c\n", encoding="utf-8")
    table = read_table(path, COLUMNS)
    assert [(row.line, row.values["path"]) for row in table.rows] == [(2, "a.jpg"), (5, "d.jpg")]
    [fault] = table.faults
    assert fault.line == 4
    assert reason in fault.reason


def test_rows_that_an_open_quote_swallows_are_named_by_their_lines(path: Path) -> None:
    path.write_text('path,vehicle_id\na.jpg,1\n"b.jpg,2\nc.jpg,3\nd.jpg,4\n', encoding="utf-8")
    table = read_table(path, COLUMNS)
    assert [row.line for row in table.rows] == [2]
    [fault] = table.faults
    assert (fault.line, "up to line 5" in fault.reason, "quote" in fault.reason) == (3, True, True)


def test_a_value_in_a_column_without_a_name_is_a_fault(path: Path) -> None:
    path.write_text("path,vehicle_id,\na.jpg,v,\nb.jpg,v,red\n", encoding="utf-8")
    table = read_table(path, COLUMNS)
    assert [row.line for row in table.rows] == [2]
    assert [(fault.line, fault.reason) for fault in table.faults] == [
        (3, "has 'red' in column 3, which has no name")
    ]


def test_lines_are_counted_where_values_go_over_several(path: Path) -> None:
    path.write_text('path,notes\na.jpg,"one\ntwo"\nb.jpg,x\n', encoding="utf-8")
    assert [row.line for row in read_table(path, COLUMNS).rows] == [2, 4]


def test_columns_that_are_not_read_are_named_and_where_all_must_be_known_refused(path: Path) -> None:
    path.write_text("path,role,notes\na.jpg,gallery,x\n", encoding="utf-8")
    assert read_table(path, COLUMNS).unread == ("role", "notes")
    strict = Columns(("path",), elsewhere=("role",), strict=True, escape="--ignore-columns")
    with pytest.raises(TableError, match=r"not known: column notes; rename it, or .* --ignore-columns"):
        read_table(path, strict)
    assert read_table(path, strict, lenient=True).unread == ("role", "notes")
