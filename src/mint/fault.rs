//! Why a key cannot be used, or a token cannot be minted. No text contains a key or a token.

/// Why a private key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PrivateKeyFault {
    #[error("it is not PEM with one private key")]
    NotPem,
    #[error("it has more than one private key")]
    Several,
    #[error("the private key has a passphrase")]
    Encrypted,
    #[error("the private key is not an RSA key")]
    NotRsa,
    #[error("the private key is not an EC key of the curve P-256")]
    NotP256,
    #[error("the private key is damaged")]
    Damaged,
    #[error("the RSA key has fewer than 2048 bits, and could be broken")]
    TooShort,
    #[error("the RSA key has more than 8192 bits")]
    TooLong,
    #[error("the RSA key is unsound")]
    Unsound,
}

/// Why a token is not minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MintFault {
    #[error("OpenMetadata needs a token with an RSA signature, and mint.keyFiles names no key")]
    NoRsaKey,
    #[error(
        "OpenMetadata verifies only the algorithm of authentication.tokenValidationAlgorithm, which is not RS256, RS384 or RS512"
    )]
    WrongAlgorithm,
    #[error(
        "DataHub needs a token that is signed with its own key: set mint.datahub.signingKey or datahub.tokenServiceSigningKey"
    )]
    NoDatahubKey,
    #[error("the name of a user is 1 to 256 printable characters without blanks, %, (, ), `,` and :")]
    InvalidUser,
    #[error("OpenMetadata's names of users are in lower case")]
    NotLowerCase,
    #[error("OpenMetadata cuts the name of a user at @: write the name, and the address as email")]
    NameIsAddress,
    #[error(
        "the email address is not of the form name@domain in printable ASCII without blanks, at most 320 bytes"
    )]
    InvalidEmail,
    #[error(
        "OpenMetadata takes the name of the user from the part before the @ of its email address, which is not this name"
    )]
    EmailOfAnotherUser,
    #[error("DataHub's system user can do everything, and no token is minted for it")]
    SystemUser,
    #[error("a minted token lives 1 to 15 minutes")]
    Lifetime,
    #[error("the incoming token has expired")]
    Expired,
    #[error("the token could not be signed")]
    Signing,
}
