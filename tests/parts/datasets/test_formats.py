import pytest

from mlprun.parts.datasets.table.formats import kind, misread

CELLS = {
    "plain": ["5", "-5", "+5", "1.5", "1e5", "007", ".5", "1."],
    "number": [
        *(
            "1,000.00",
            "1.000,00",
            "7,622",
            "1'234",
            "1’234.5",
            "1 234",
            "1\u00a0234,56",
            "1\u202f234",
            "1_000",
        ),
        *("1,00,000", "0,5", ",5", "1.234.567", "€5", "€1000", "5 €", "$1,000.00", "-$5", "$-5", "US$ 5"),
        *("CHF 12.50", "12.50 CHF", "12 kr", "Rs. 500", "5,-", "£3", "¥500", "usd 5", "12%", "12,5 %", "3‰"),
        *("5 kg", "5kg", "5m", "3.5cm", "120 km/h", "5 mg/dl", "12 m²", "20 °C", "16GB", "2 days", "3 years"),
        *("−5", "–5", "(5)", "(1,200.00)", "($5)", "5-", "+5 kg", "1,5e3", "1.5×10^3", "1.5 x 10³", "1e5kg"),
        *("1197 CC", "74.5 bhp", "19.67 kmpl", '15.6"', "~5", "≈ 7 kg"),
        *("٣", "７", "3.5k", "3M", "5 Mio €", "1.2bn", "0x1F", "∞", "-∞", "5'11\"", "5 ft 11 in", "1h 30m"),
    ],
    "date": [
        *(
            "12:30",
            "12:30:15",
            "12:30 PM",
            "3pm",
            "12h30",
            "1 day, 12:30:15",
            "2020-01-31",
            "31/1/2020",
            "1.1.20",
        ),
        *("2020-01-31T12:30:00Z", "2020-01-31 12:30", "2020-01-31T12:30:00+01:00", "2020-01", "01/2020"),
        *(
            "Jan",
            "september",
            "Jan 2020",
            "January 2020",
            "5 March 2021",
            "March 5, 2021",
            "5th of March 2021",
            "05MAR2021",
            "Jan-20",
        ),
        *("Mon, 5 Mar 2021", "Jan '20", "5. März 2021", "Mar 5", "Q1 2020", "2020Q1", "2020-W05"),
    ],
    "text": [
        *(
            "A12",
            "D-10115",
            "Boeing 747",
            "town3",
            "v2",
            "3-5 years",
            "10-20",
            "<5",
            ">100",
            "1st",
            "1/2",
            "XIV",
        ),
        *(
            "2x",
            "4x4",
            "16:9",
            "10115 Berlin",
            "1.2.3",
            "192.168.1.1",
            "12A",
            "2D",
            "5G",
            "MAR1",
            "Q1",
            "Janet",
        ),
        *("1990s", "2000s", "10+ years", "<=50K", "N95", "", "-", "12 monkeys", "7up", "5 of 7", "1 " * 50),
    ],
}


@pytest.mark.parametrize("expected", CELLS)
def test_a_cell_is_known_by_its_format(expected):
    assert {cell: kind(cell) for cell in CELLS[expected]} == dict.fromkeys(CELLS[expected], expected)


@pytest.mark.parametrize(
    ("cells", "position"),
    [
        (["12", "1,200", "x"], 1),
        ([None, "A", "€5", "€6", "n/a"], None),
        ([None, "A", "€5", "€6", "€7"], 2),
        (["free", "€5", "€5", "€5"], 1),
        (["1", "2", "A", "B"], None),
        (["1B", "2B", "1M", "2M", "3M"], None),
        (["<5%", "5%", "10%"], None),
    ],
)
def test_most_cells_decide_what_a_column_is(cells, position):
    assert misread(cells) == position
