"""Mail as mail servers and programs keep it."""

from __future__ import annotations

import mailbox
import tarfile
import zipfile
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import Reading, load_corpus
from fedlearn.datasets.files import read_texts
from fedlearn.datasets.files.mail import Losses, read_mail
from fedlearn.datasets.files.markup import text_of
from fedlearn.errors import DataError


def message(text: str, subject: str = "hi", to: str = "", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "a@mail.example", subject
    if to:
        mail["To"] = to
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def text_in(data: bytes, losses: Losses | None = None) -> str:
    return read_mail(data, Losses() if losses is None else losses).text


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "cp1252", "koi8-r", "iso-2022-jp"])
def test_texts_and_subjects_in_every_charset_and_transfer_encoding(encoding, charset):
    text = {"koi8-r": "Скидка 50%", "iso-2022-jp": "無料です"}.get(charset, "Für 5 Euro \u2013 schöne Grüße")
    mail = message("")
    mail.set_content(text, charset=charset, cte="base64" if charset == "iso-2022-jp" else encoding)
    mail.replace_header("Subject", text)
    assert text_in(mail.as_bytes()) == f"{text}\n{text}"


def test_encoded_words_in_pieces_raw_bytes_and_damaged_ones():
    head = b"From: a@b.example\r\nDate: now\r\nSubject: "
    assert text_in(head + b"=?utf-8?q?gr=C3=BC?=\r\n =?iso-8859-1?b?3w==?= you\r\n\r\n") == "grüß you"
    assert text_in(head + "größe".encode() + b"\r\n\r\n") == "größe"
    assert text_in(head + "größe".encode("cp1252") + b"\r\n\r\n") == "größe"
    losses = Losses()
    assert text_in(head + b"=?klingon?q?caf=E9?= =?utf-8?b?abc?=\r\n\r\n", losses).startswith("café")
    assert losses["unknown charset"] == 1


def test_parts_are_read_alternatives_once_and_attachments_counted():
    both = MIMEMultipart("alternative", _subparts=[MIMEText("plain words"), MIMEText("<b>html words</b>", "html")])
    mail = MIMEMultipart(_subparts=[both, MIMEText("and a footer"), MIMEApplication(b"\0\1")])
    mail["From"], mail["Subject"] = "a@b.example", "parts"
    mail.attach(MIMEText("name,price", "csv"))
    mail.get_payload()[-1]["Content-Disposition"] = "attachment; filename*=utf-8''pr%C3%A4mie.csv"
    losses = Losses()
    assert text_in(mail.as_bytes(), losses) == "parts\nplain words\nand a footer"
    assert losses == {"skipped attachment": 2}
    html = MIMEMultipart("alternative", _subparts=[MIMEText(" \n", "plain"), MIMEText("<p>only<p>html", "html")])
    html["From"], html["Subject"] = "a@b.example", "x"
    assert text_in(html.as_bytes()) == "x\nonly\nhtml"


def test_a_message_in_parts_that_names_no_boundary_keeps_its_text():
    assert text_in(b"From: a@b.example\nSubject: hi\nContent-Type: multipart/mixed\n\nwords\n") == "hi\nwords"


def test_a_wrong_or_unknown_charset_falls_back_and_is_counted():
    losses = Losses()
    head = b"From: a@b.example\nSubject: x\nContent-Type: text/plain; charset=%s\n\n"
    assert text_in(head % b"utf-8" + "Grüße".encode("cp1252"), losses) == "x\nGrüße"
    assert text_in(head % b"x-unknown" + "Grüße".encode(), losses) == "x\nGrüße"
    assert text_in(head % b"us-ascii" + "Grüße".encode(), losses) == "x\nGrüße"
    assert text_in(head % b"unicode_escape" + rb"C:\quick", losses) == "x\nC:\\quick"  # no charset of mail
    assert losses == {"unknown charset": 2, "wrongly declared charset": 1}


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Free&nbsp;&amp; easy&#33;</p><p>now", "Free & easy!\nnow"),
        ("fr<b>ee</b> <i>pills</i><br>here", "free pills\nhere"),
        ("<head><title>no</title><style>p{}</style></head><body>yes<script>if (a<b) no()</script></body>", "yes"),
        ("<style>never closed", ""),
        ("<head><meta x><body>a head that is not closed", "a head that is not closed"),
        ("<ul><li>one<li>two</ul><table><tr><td>a<td>b</table>", "one\ntwo\na\nb"),
        ("<!-- no <b> <!-- no --><![if gte mso 9]>a<![endif]> < b <c", "a < b <c"),
        ("<a href='x?a=1&b=2' title=z>link</a>s", "links"),
    ],
)
def test_markup_gives_what_a_reader_sees(markup, text):
    assert text_of(markup) == text


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"From: a\nTo: b\n", b"From: a\nSubject: =?", b"From: a\nDate: b\nContent-Type: "]),
)
def test_any_bytes_are_a_message_of_some_text(data, head):
    assert isinstance(text_in(head + data), str)


def test_markup_of_any_size_is_read_in_time():
    for piece in ("<", "<a ", "<!", "</", "&", "<!--", "<a b='", "<a>", "<![", "<?", "&#", "-->", "<script>"):
        assert isinstance(text_of(piece * 20_000), str)
        assert isinstance(text_of("<a " + piece * 20_000 + ">"), str)


@pytest.fixture
def people() -> dict[str, list[tuple[str, bool]]]:
    return {
        user: [(f"{user} message {i}\nFrom here on", i % 3 == 0) for i in range(12)] for user in ("bob", "sue", "ida")
    }


def fingerprints(people):
    return sorted((text, user, spam) for user, mails in people.items() for text, spam in mails)


def found(corpus, users=None):
    texts = (text.removeprefix("hi\n") for text in corpus.texts)
    names = (user.partition("@")[0] for user in corpus.users)
    return sorted(zip(texts, names, map(bool, corpus.labels), strict=True))


def test_mbox_files_are_people(tmp_path, people):
    for user, mails in people.items():
        box = mailbox.mbox(tmp_path / f"{user}.mbox")
        for text, spam in mails:
            box.add(message(text, X_Spam_Flag="YES" if spam else "NO"))
        box.close()
    assert found(load_corpus(str(tmp_path))) == fingerprints(people)


@pytest.mark.parametrize("setting", ["text_column", "label_column", "encoding"])
def test_settings_that_mail_has_no_use_for_are_refused(tmp_path, setting):
    for kind in ("ham", "spam"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.eml").write_bytes(message(kind).as_bytes())
    for read in (load_corpus, read_texts):
        with pytest.raises(DataError, match=f"{setting}=utf-8 has no effect on {tmp_path}, which is mail: leave it"):
            read(str(tmp_path), Reading(**{setting: "utf-8"}))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\r\n", b""])
def test_what_an_editor_leaves_before_an_mbox_or_a_message_is_none_of_it_and_lines_end_anyhow(tmp_path, before, end):
    mails = [message(f"number {i}", X_Spam_Flag="YES" if i % 2 else "NO").as_bytes() for i in range(4)]
    box = b"".join(b"From a@b.example Mon Jan  5 10:00:00 2026\n" + mail + b"\n" for mail in mails)
    (tmp_path / "box").write_bytes((before + box).replace(b"\r\n", b"\n").replace(b"\n", end))
    assert list(load_corpus(str(tmp_path / "box")).texts) == [f"hi\nnumber {i}" for i in range(4)]
    assert text_in((before + mails[0]).replace(b"\r\n", b"\n").replace(b"\n", end)) == "hi\nnumber 0"


def test_a_message_with_a_zero_byte_is_a_message(tmp_path):
    box = mailbox.mbox(tmp_path / "box")
    for spam in (True, False):
        mail = message("", X_Spam_Flag="YES" if spam else "NO").as_bytes().rstrip(b"\n")
        box.add(mail.replace(b"7bit", b"8bit") + b"\n\nfr\0ee\n")
    box.close()
    assert [text.replace("\0", "") for text in load_corpus(str(tmp_path / "box")).texts] == ["hi\nfree"] * 2


def test_a_mailbox_of_one_message_is_somebodys_too_and_a_text_may_begin_as_an_envelope(tmp_path):
    def boxed(*texts: str) -> bytes:
        start = b"From a@b Mon Jan  1 10:00:00 2024\n"
        return b"".join(start + message(text).as_bytes() + b"\n\n" for text in texts)

    (tmp_path / "alice.mbox").write_bytes(boxed("one\n>From me\n\nFrom 10:30 on we meet"))
    (tmp_path / "bob.mbox").write_bytes(boxed("two", "three"))
    (tmp_path / "spam").mkdir()
    (tmp_path / "spam" / "bob.mbox").write_bytes(boxed("buy"))
    corpus = load_corpus(str(tmp_path))
    assert corpus.users == ("alice", "bob", "bob", "bob")
    assert corpus.texts[0] == "hi\none\nFrom me\n\nFrom 10:30 on we meet"


def test_two_mbox_files_named_ham_and_spam_with_people_by_header(tmp_path, people):
    for name, wanted in (("Spam", True), ("ham.mbox", False)):
        box = mailbox.mbox(tmp_path / name)
        for user, mails in people.items():
            for text, spam in mails:
                if spam == wanted:
                    box.add(message(text, to=f"{user.title()} <{user}@home.example>, x@y.example"))
        box.close()
    assert found(load_corpus(str(tmp_path))) == fingerprints(people)


def test_one_mbox_with_labels_of_a_mail_service(tmp_path, people):
    box = mailbox.mbox(tmp_path / "takeout.mbox")
    for user, mails in people.items():
        for text, spam in mails:
            label = "Spam,Ungelesen" if spam else "=?utf-8?q?Posteingang,Ge=C3=B6ffnet?="
            box.add(message(text, Delivered_To=f"{user}@home.example", to="list@x.example", X_Gmail_Labels=label))
    box.close()
    assert found(load_corpus(str(tmp_path / "takeout.mbox"))) == fingerprints(people)


def test_maildirs_with_a_junk_folder(tmp_path, people):
    for user, mails in people.items():
        (tmp_path / user).mkdir()
        inbox = mailbox.Maildir(tmp_path / user / "Maildir")
        junk = inbox.add_folder("Junk")
        for i, (text, spam) in enumerate(mails):
            mail = mailbox.MaildirMessage(message(text))
            mail.set_subdir("cur" if i % 2 else "new")
            (junk if spam else inbox).add(mail)
        (tmp_path / user / "Maildir" / "tmp" / "half").write_bytes(b"From: a\nTo")
        (tmp_path / user / "Maildir" / "dovecot.index").write_bytes(b"\0\1")
    corpus = load_corpus(str(tmp_path))
    assert found(corpus) == fingerprints(people)
    assert corpus.notes == ("24 messages outside of spam folders taken for ham",)
    with tarfile.open(tmp_path.with_suffix(".tar.gz"), "w:gz") as archive:
        archive.add(tmp_path, "backup")
    assert found(load_corpus(str(tmp_path.with_suffix(".tar.gz")))) == fingerprints(people)


@pytest.mark.parametrize(
    "layout", ["enron{n}/{kind}/{i}.1999-12-10.{user}.{kind}.txt", "{user}/{spamassassin}/{i}.abc"]
)
def test_plain_messages_sorted_in_folders(tmp_path, people, layout):
    names = {"bob": 1, "sue": 2, "ida": 3}
    for user, mails in people.items():
        for i, (text, spam) in enumerate(mails):
            kind, other = ("spam", "spam_2") if spam else ("ham", "hard_ham")
            path = tmp_path / layout.format(n=names[user], user=user, kind=kind, spamassassin=other, i=i)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"Subject: {text}")
    corpus = load_corpus(str(tmp_path))
    assert len(set(corpus.users)) == 3
    assert sorted(corpus.texts) == sorted(text for text, _, _ in fingerprints(people))
    assert int(corpus.labels.sum()) == 12


def test_folders_of_messages_in_a_zip_with_litter(tmp_path):
    with zipfile.ZipFile(tmp_path / "mail.zip", "w") as archive:
        for i in range(4):
            archive.writestr(f"corpus/{'spam' if i % 2 else 'ham'}/{i}.eml", message(f"text {i}").as_bytes())
            archive.writestr(f"__MACOSX/corpus/ham/._{i}.eml", b"\0\5\26\7")
        archive.writestr("corpus/ham/cmds", b"mv 1 2")
        archive.writestr("corpus/ham/logo.png", b"\x89PNG\r\n\0\0\0")
        archive.writestr("corpus/ham/empty.eml", b"")
    corpus = load_corpus(str(tmp_path / "mail.zip"))
    assert sorted(corpus.texts) == [f"hi\ntext {i}" for i in range(4)]
    assert corpus.notes == ("1 binary file", "1 empty file")


def test_a_header_of_the_users_choice_says_whose_a_message_is(tmp_path):
    for i in range(6):
        path = tmp_path / ("spam" if i % 2 else "ham") / f"{i}.eml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(message(f"text {i}", X_Owner=f"user{i % 3}@x.example").as_bytes())
    assert load_corpus(str(tmp_path)).users is None
    assert sorted(set(load_corpus(str(tmp_path), Reading(user_column="X-Owner")).users)) == [
        f"user{i}@x.example" for i in range(3)
    ]
    with pytest.raises(DataError, match="no address in the header X-Other of its 6 messages: name another header in"):
        load_corpus(str(tmp_path), Reading(user_column="X-Other"))
    (tmp_path / "ham" / "7.eml").write_bytes(message("text 7").as_bytes())
    with pytest.raises(DataError, match=r"1 of 7 messages cannot be read \(ham/7.eml: no X-Owner header\): mend"):
        load_corpus(str(tmp_path), Reading(user_column="X-Owner"))


def test_mail_that_nobody_sorted_is_asked_about(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.eml").write_bytes(message(f"text {i}").as_bytes())
    with pytest.raises(DataError, match="nothing says whether its 3 messages are spam: sort them into folders or mbox"):
        load_corpus(str(tmp_path))
    one = message("text").as_bytes()
    (tmp_path / "1").write_bytes(one)
    with pytest.raises(DataError, match="nothing says whether its 1 message is spam"):
        load_corpus(str(tmp_path / "1"))


def test_folders_of_pictures_hold_no_message(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"\x89PNG\r\n\0\0\0")
    with pytest.raises(DataError, match="holds no message: give mbox files, a Maildir, or folders spam/ and ham/"):
        load_corpus(str(tmp_path))


def test_parts_within_parts_without_end_cost_their_text_only():
    parts = "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(3000))
    losses = Losses()
    mail = read_mail(f"From: a\nTo: b@c\nSubject: hello\n{parts}hi".encode(), losses)
    assert mail.text == "hello"
    assert losses == {"too deeply nested part": 1}


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<div style='display:none'>a<div>b</div>c</div>d", "d"),
        ("<p hidden>a</p>b", "b"),
        ("<p style=display:none>a<p>b", "b"),
        ("<td style='VISIBILITY : hidden'>a</td><td>b</td>", "b"),
        ("<span style='font-size:0px'>a</span>b", "b"),
        ("<span style='font-size:0.9em'>a</span>b", "ab"),
        ("<img hidden>a<br style='display:none'>b", "a\nb"),
        ("<div hidden><body>a", "a"),
    ],
)
def test_what_markup_hides_is_not_read(markup, text):
    assert text_of(markup) == text


def test_file_names_say_what_is_spam_where_no_folder_does(tmp_path):
    for name, text in {"spam_1.eml": "win", "ham-2.eml": "hello", "Junk mail 3.txt": "buy"}.items():
        (tmp_path / name).write_bytes(message(text).as_bytes())
    assert load_corpus(str(tmp_path)).labels.tolist() == [1, 0, 1]
    for name in ("ham", "spam"):
        (tmp_path / "sorted" / name).mkdir(parents=True)
        (tmp_path / "sorted" / name / "spam.eml").write_bytes(message(name).as_bytes())
    assert load_corpus(str(tmp_path / "sorted")).labels.tolist() == [0, 1]
