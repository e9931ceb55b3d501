//! Dates as fields have them (RFC 9110 §5.6.7).
//!
//! The rule guarded here: what is not one of the three forms, to the letter and in its case, is no date. Two things
//! are taken as they come: a day of the week that does not fit its date, because the numbers say the same without it
//! and it would be wrong for every two-digit year that was meant otherwise; and a second 60, which is the next one.
//!
//! Moments are seconds since 1970 without leap seconds, so that nothing here needs a clock.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Days from the first day of year 1 to that of 1970.
const DAYS_BEFORE_1970: i64 = 719_162;

/// The first second of year 0, which is the first that a date can have.
const EARLIEST: i64 = -62_167_219_200;

/// The last second of year 9999, which is the last that a date can have.
const LATEST: i64 = 253_402_300_799;

/// How far ahead a two-digit year may be, in years.
const AHEAD_MAX: i64 = 50;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Reads a date in any of the three forms. `now` decides the century of a two-digit year: it is the latest that is
/// not more than 50 years ahead.
pub(crate) fn parse(value: &[u8], now: i64) -> Option<i64> {
    let date = imf_fixdate(value)
        .or_else(|| asctime(value))
        .or_else(|| rfc_850(value, now))?;
    date.is_one().then(|| date.seconds())
}

/// Writes a moment as the one form that is to be made (RFC 9110 §5.6.7). None if its year has not four digits.
pub(crate) fn write(moment: i64) -> Option<String> {
    if !(EARLIEST..=LATEST).contains(&moment) {
        return None;
    }
    let (days, time) = (moment.div_euclid(DAY), moment.rem_euclid(DAY));
    let weekday = word(&WEEKDAYS, (days + 3).rem_euclid(7))?;
    let Date {
        year, month, day, ..
    } = Date::of_day(days + DAYS_BEFORE_1970);
    let month = word(&MONTHS, month - 1)?;
    let [hour, minute, second] = [time / 3600, time / 60 % 60, time % 60];
    Some(format!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    ))
}

fn word(words: &[&'static str], place: i64) -> Option<&'static str> {
    words.get(usize::try_from(place).ok()?).copied()
}

/// A day and a time as they are read and written.
#[derive(Debug, Clone, Copy)]
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    day: i64,
    /// Hour, minute and second.
    time: [i64; 3],
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<Date> {
    let mut text = Text(value);
    text.one_of(&WEEKDAYS)?;
    text.literal(", ")?;
    let day = text.digits(2)?;
    text.literal(" ")?;
    let month = text.one_of(&MONTHS)?;
    text.literal(" ")?;
    let year = text.digits(4)?;
    text.literal(" ")?;
    let time = text.time()?;
    text.literal(" GMT")?;
    text.end(Date {
        year,
        month,
        day,
        time,
    })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc_850(value: &[u8], now: i64) -> Option<Date> {
    let mut text = Text(value);
    text.one_of(&LONG_WEEKDAYS)?;
    text.literal(", ")?;
    let day = text.digits(2)?;
    text.literal("-")?;
    let month = text.one_of(&MONTHS)?;
    text.literal("-")?;
    let year = text.digits(2)?;
    text.literal(" ")?;
    let time = text.time()?;
    text.literal(" GMT")?;
    let date = Date {
        year,
        month,
        day,
        time,
    };
    text.end(date.in_century(now))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<Date> {
    let mut text = Text(value);
    text.one_of(&WEEKDAYS)?;
    text.literal(" ")?;
    let month = text.one_of(&MONTHS)?;
    text.literal(" ")?;
    let digits = if text.literal(" ").is_some() { 1 } else { 2 };
    let day = text.digits(digits)?;
    text.literal(" ")?;
    let time = text.time()?;
    text.literal(" ")?;
    let year = text.digits(4)?;
    text.end(Date {
        year,
        month,
        day,
        time,
    })
}

impl Date {
    /// The first second of a day that is so many days after the first one of year 1.
    fn of_day(days: i64) -> Self {
        // Never too late: no year has more than 366 days.
        let mut year = days.div_euclid(366) + 1;
        while days_before(year + 1) <= days {
            year += 1;
        }
        let (mut month, mut day) = (1, days - days_before(year));
        while day >= days_of_month(year, month) {
            day -= days_of_month(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: day + 1,
            time: [0; 3],
        }
    }

    /// Puts a two-digit year into its century.
    fn in_century(self, now: i64) -> Self {
        let this_year = 1970 + now.clamp(0, LATEST) / (365 * DAY);
        let next = (this_year / 100 + 1) * 100 + self.year;
        let in_year = |year| Self { year, ..self };
        let is_near = |date: &Self| in_year(date.year - AHEAD_MAX).seconds() <= now;
        let nearest = [next, next - 100].map(in_year).into_iter().find(is_near);
        nearest.unwrap_or_else(|| in_year(next - 200))
    }

    /// Says whether there is such a day and such a time.
    fn is_one(self) -> bool {
        let [hour, minute, second] = self.time;
        (1..=days_of_month(self.year, self.month)).contains(&self.day)
            && hour < 24
            && minute < 60
            && second <= 60
    }

    fn seconds(self) -> i64 {
        let months: i64 = (1..self.month)
            .map(|month| days_of_month(self.year, month))
            .sum();
        let days = days_before(self.year) + months + self.day - 1 - DAYS_BEFORE_1970;
        let [hour, minute, second] = self.time;
        days * DAY + hour * 3600 + minute * 60 + second
    }
}

/// Days from the first day of year 1 to that of a year.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 => days_before(year + 1) - days_before(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What is left to be read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn literal(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word.as_bytes())?;
        Some(())
    }

    /// Takes one of these words and gives its place, from 1.
    fn one_of(&mut self, words: &[&str]) -> Option<i64> {
        let place = words.iter().position(|word| self.literal(word).is_some())?;
        i64::try_from(place + 1).ok()
    }

    /// Takes exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
            Some(number * 10 + digit)
        })
    }

    fn time(&mut self) -> Option<[i64; 3]> {
        let hour = self.digits(2)?;
        self.literal(":")?;
        let minute = self.digits(2)?;
        self.literal(":")?;
        Some([hour, minute, self.digits(2)?])
    }

    fn end(self, date: Date) -> Option<Date> {
        self.0.is_empty().then_some(date)
    }
}

#[cfg(test)]
mod tests;
