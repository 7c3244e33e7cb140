"""Reads what Django's file-based mail backend wrote: mails one after another, a line of dashes behind each."""
import email
import email.policy

SEPARATOR = b'-' * 79 + b'\n'


def read_mails(directory):
    mails = []
    for path in sorted(directory.glob('*.log')):
        # Behind the last separator comes nothing, or a mail that is being written.
        for source in path.read_bytes().split(SEPARATOR)[:-1]:
            mails.append(email.message_from_bytes(source, policy=email.policy.default))
    return mails
