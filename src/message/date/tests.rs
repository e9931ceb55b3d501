//! Dates: tables, and that what a writer of our own writes reads back.

use proptest::prelude::*;

use super::*;

/// 1994-11-06 08:49:37, the date of the RFC's examples.
const EXAMPLE: i64 = 784_111_777;

/// 2026-01-01 00:00:00.
const NOW: i64 = 1_767_225_600;

fn check(text: &str, expected: Option<i64>) {
    assert_eq!(parse(text.as_bytes(), NOW), expected, "{text:?}");
}

#[test]
fn rfc_c22_the_three_forms_are_read() {
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE));
    check("Sunday, 06-Nov-94 08:49:37 GMT", Some(EXAMPLE));
    check("Sun Nov  6 08:49:37 1994", Some(EXAMPLE));
    check("Wed Nov 16 08:49:37 1994", Some(EXAMPLE + 10 * DAY));
    check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
    check("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1));
    check("Sat, 01 Jan 0000 00:00:00 GMT", Some(-62_167_219_200));
    check("Fri, 31 Dec 9999 23:59:59 GMT", Some(LATEST));
    check("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400));
    check("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199));
}

#[test]
fn rfc_c22_a_leap_second_is_the_next_second_and_the_day_of_the_week_counts_not() {
    check("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800));
    check("Mon, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE));
    check("Monday, 06-Nov-94 08:49:37 GMT", Some(EXAMPLE));
    check("Mon Nov  6 08:49:37 1994", Some(EXAMPLE));
}

#[test]
fn rfc_c22_what_is_not_to_the_letter_is_no_date() {
    for text in [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 30 Feb 2000 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06  08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  16 08:49:37 1994",
        "Sunday Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "784111777",
    ] {
        check(text, None);
    }
    assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 \xffMT", NOW), None);
}

#[test]
fn rfc_c22_a_year_more_than_50_years_ahead_is_of_the_past_century() {
    let year = |text: &str, now: &str| {
        let now = parse(now.as_bytes(), 0).unwrap();
        let read = parse(text.as_bytes(), now).unwrap();
        (1890..2250)
            .rev()
            .find(|year| (days_before(*year) - DAYS_BEFORE_1970) * DAY <= read)
            .unwrap()
    };
    let new_year = "Thu, 01 Jan 2026 00:00:00 GMT";
    assert_eq!(year("Monday, 31-Dec-75 23:59:59 GMT", new_year), 2075);
    assert_eq!(year("Monday, 01-Jan-76 00:00:00 GMT", new_year), 2076);
    assert_eq!(year("Monday, 01-Jan-76 00:00:01 GMT", new_year), 1976);
    assert_eq!(year("Monday, 01-Jan-77 00:00:00 GMT", new_year), 1977);
    assert_eq!(year("Monday, 01-Jan-00 00:00:00 GMT", new_year), 2000);
    let late = "Thu, 31 Dec 2099 00:00:00 GMT";
    assert_eq!(year("Monday, 01-Jan-01 00:00:00 GMT", late), 2101);
    assert_eq!(year("Monday, 01-Jan-99 00:00:00 GMT", late), 2099);
    assert_eq!(year("Monday, 01-Jan-51 00:00:00 GMT", late), 2051);
    let early = "Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(year("Monday, 01-Jan-94 00:00:00 GMT", early), 1994);
    assert_eq!(year("Monday, 01-Jan-21 00:00:00 GMT", early), 1921);
    // There is a 29 February in 2000, and none in 1900 and 2100.
    assert_eq!(year("Tuesday, 29-Feb-00 00:00:00 GMT", new_year), 2000);
    let none = "Monday, 29-Feb-00 00:00:00 GMT";
    let now = parse(b"Thu, 01 Jan 2090 00:00:00 GMT", 0).unwrap();
    assert_eq!(parse(none.as_bytes(), now), None);
}

/// Writes a moment in the three forms, day by day from 1970: slow, and written another way than it is read.
fn written(moment: i64) -> [String; 3] {
    let (mut day, time) = (moment / DAY, moment % DAY);
    let weekday = usize::try_from((day + 3) % 7).unwrap();
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30];
    let lengths = lengths.into_iter().chain([31, 31, 30, 31, 30, 31]);
    let mut month = "";
    for (name, length) in MONTHS.into_iter().zip(lengths) {
        month = name;
        if day < length {
            break;
        }
        day -= length;
    }
    let (day, short, century) = (day + 1, WEEKDAYS[weekday], year % 100);
    let time = format!("{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60);
    [
        format!("{short}, {day:02} {month} {year} {time} GMT"),
        format!(
            "{}, {day:02}-{month}-{century:02} {time} GMT",
            LONG_WEEKDAYS[weekday]
        ),
        format!("{short} {month} {day:2} {time} {year}"),
    ]
}

#[test]
fn rfc_a28_dates_are_written_as_imf_fixdate() {
    let check = |moment: i64, expected: Option<&str>| {
        assert_eq!(write(moment).as_deref(), expected, "{moment}");
    };
    check(EXAMPLE, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    check(0, Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    check(-1, Some("Wed, 31 Dec 1969 23:59:59 GMT"));
    check(951_782_400, Some("Tue, 29 Feb 2000 00:00:00 GMT"));
    check(EARLIEST, Some("Sat, 01 Jan 0000 00:00:00 GMT"));
    check(LATEST, Some("Fri, 31 Dec 9999 23:59:59 GMT"));
    check(EARLIEST - 1, None);
    check(LATEST + 1, None);
    check(i64::MIN, None);
    check(i64::MAX, None);
}

proptest! {
    #[test]
    fn rfc_a28_what_is_written_reads_back_and_is_as_another_way_writes_it(moment in EARLIEST..=LATEST) {
        let text = write(moment).unwrap();
        prop_assert_eq!(text.len(), 29);
        prop_assert_eq!(parse(text.as_bytes(), NOW), Some(moment));
        if moment >= 0 {
            prop_assert_eq!(&text, &written(moment)[0]);
        }
    }

    #[test]
    fn rfc_c22_every_second_reads_back(moment in 0..LATEST, ahead in -49..49_i64) {
        let now = moment + ahead * 365 * DAY;
        for text in written(moment) {
            prop_assert_eq!(parse(text.as_bytes(), now), Some(moment), "{}", text);
        }
    }

    #[test]
    fn rfc_c22_any_bytes_and_any_now_are_read_without_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        text in "(Sunday, |Sun, |Sun )[0-9]{2}[- ]Nov[- ][0-9]{2,4} [0-9:]{8} GMT",
        now in any::<i64>(),
    ) {
        parse(&bytes, now);
        parse(text.as_bytes(), now);
    }
}
