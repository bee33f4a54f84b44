//! Numbers in messages, like lengths.

/// The digits of a number. Made for most messages, and formatting takes ten times as long.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// The digits are at the end.
    text: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of this number.
    pub fn of(number: u64) -> Self {
        let (mut text, mut left) = ([b'0'; 20], number);
        let mut start = text.len();
        for place in text.iter_mut().rev() {
            // A digit is less than 10.
            *place = b'0' + (left % 10) as u8;
            start -= 1;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        Self { text, start }
    }

    /// The digits, in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_formatting() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([0, u64::MAX]) {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
