"""The two public collections of spam and ham; what files of users look like is in `fedlearn.datasets.files`."""

from __future__ import annotations

from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dataset import MESSAGES, FileSet
from fedlearn.datasets.files import messages_of
from fedlearn.datasets.files.opening import unpacked


def parse_messages(data: bytes, name: str, source: str) -> Corpus:
    """The messages in the bytes of a file of any form that `fedlearn.datasets.files` knows; raises as that does."""
    return messages_of(unpacked(name, data), source)


SMS_SPAM = FileSet(
    name="sms_spam",
    task=MESSAGES,
    instead="take the data set sample",
    records="5,574 SMS",
    clients="none",
    licence="CC BY 4.0",
    origin="SMS Spam Collection v.1, UCI data set 228; Almeida, Gomez Hidalgo and Yamakami, ACM DocEng 2011",
    filename="SMSSpamCollection.tsv",
    sha256="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    parse=parse_messages,
    url="https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    member="SMSSpamCollection",
)

ENRON = FileSet(
    name="enron",
    task=MESSAGES,
    instead="take the data set sample",
    records="6,000 e-mails",
    clients="6 mailboxes",
    licence="none stated; published for research",
    origin=(
        "1,000 messages of each mailbox of Enron-Spam, preprocessed form, Metsis, Androutsopoulos and "
        "Paliouras, CEAS 2006: white space collapsed, first 200 tokens, under 4 tokens and repeats dropped, "
        "seeded draw, columns user label date msg_id text"
    ),
    private=True,
    filename="enron_users.tsv",
    sha256="3b50b9e1e8ba4b651a3aa918a809f1c21766247fd94c1fceae10b697315f2316",
    parse=parse_messages,
)
