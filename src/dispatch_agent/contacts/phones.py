"""The Brazilian phones in a text that may be sent to.

The plan of numbers is Anatel's (Resolução 749/2022): an area code, then nine digits that begin with 9 for a mobile
phone, or eight that begin with 2 to 5 for a landline; https://www.gov.br/anatel/pt-br/regulado/numeracao.
"""

import re
from collections.abc import Iterator

from dispatch_agent.contacts.text import plain
from dispatch_agent.zones import AREAS

# The notation of nearly every phone. The slow way gives the same result and takes twenty times as long.
USUAL = re.compile(r"(?:\+?55 ?)?\(?([1-9]{2})\)? ?(9[0-9]{4}|[2-9][0-9]{3})[- ]?([0-9]{4})")

_CHAT = re.compile(
    r"(?:https?://)?(?:wa\.me/|(?:api\.|web\.)?whatsapp(?:\.com/|://)send/?\?(?:\S*?&)?phone=)(?:\+|%2B)?([0-9]+)\S*"
    r"|(?<![\w.-])\+?([0-9]++)(?::[0-9]+)?@(?:c\.us|s\.whatsapp\.net)\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*+://|\bwww\.|(?<![\w-])[\w-]*[a-z]\.[a-z]{2,}/)\S*"
    r"|(?<![^\s,;<>/])[^\s,;<>/@]*+@[^\s,;<>/]*",
    re.IGNORECASE,
)
# The word beside a number says that it is no phone, whatever its digits; a company's CNPJ needs none.
_DOCUMENT_WORD = r"""(?:cpf|cnpj|c\.p\.f|c\.n\.p\.j|rg|ie|im|cep|pis|pasep|nis|nit
    |cnh|cns|sus|ctps|oab|crm|crea|nire|imei|renavam|nfs?-?e?
    |nota|conta|c/[cp]|ag(?:[eê]ncia)?|banco|pix|chave|cart[aã]o|protocolo|pedidos?|processo|contrato|boleto|fatura
    |matr[ií]cula|inscri[cç][aã]o|inscr?|registro|t[ií]tulo|ap[oó]lice|c[oó]d(?:igo)?|id(?:entidade)?|doc(?:umento)?
    |passaporte|os|ordem|ref(?:er[eê]ncia)?|chamado|ticket|guia|lote|s[eé]rie|senha)"""
_BETWEEN = r"""(?:corrente|poupan[cç]a|sal[aá]rio|fiscal|estadual|municipal|eletr[oô]nica|d[aeo]s?|servi[cç]o|compra
    |venda|banc[aá]ri[ao]|cr[eé]dito|d[eé]bito|cliente|empresa|titular|aleat[oó]ria|eleitor|[eé]|n(?:[uú]mero|[ro.]*))\b"""
_DOCUMENT = re.compile(
    rf"""
    \b{_DOCUMENT_WORD}\b (?:[\s:.,)#=/-]|\b(?:{_BETWEEN}|{_DOCUMENT_WORD}\b)){{0,12}}+ (?:
        [0-9]{{3}}\.[0-9]{{3}}\.[0-9]{{3}}-[0-9]{{2}} (?![0-9])
        | [0-9]{{5}}-[0-9]{{3}} (?![0-9])
        | [0-9]{{1,2}}\.[0-9]{{3}}\.[0-9]{{3}}(?:/[0-9]{{4}})?-[0-9x]{{1,2}} (?![0-9])
        | (?:\( [ ]?)? [0-9][0-9()]*(?:(?:[ ./-]|\)[ ]|[ ]\()[0-9()]+)* )
    | r\$[ ]? [0-9][0-9./-]*
    | (?<![0-9])[0-9]{{8}}0001[0-9]{{2}}(?![0-9])
    | (?<![0-9()+])(?<![0-9()+][ ./-]) [0-9()]++(?:[ ./-][0-9()]++)*+ [ ]?[(-]? [ ]?(?:
        \b{_DOCUMENT_WORD}\b \)? (?=[ .]*(?:[;|,\n]|$))
        | \b(?:cpf|cnpj|rg)\b \)? (?![\s:.)=#-]*[0-9(+]) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A key of Pix may be a phone; only a word or the country says so.
_OF_PHONE = r"\b(?:tel|telefone|fone|cel|celular|m[oó]vel|whats|whatsapp|wpp|zap)\b\.?"
_PHONE_FOR_PIX = re.compile(
    rf"{_OF_PHONE}[\s/:(+&-]*(?:e\s)?(?:chave\s)?pix\b[\s):-]*(?=[0-9+(])"
    rf"|(?P<phone>{_OF_PHONE}[\s:-]*[0-9+(][0-9 ().+-]{{7,25}}?)[ (-]*\bpix\b\)?(?![\s:)=-]*[0-9+(])",
    re.IGNORECASE,
)
# `CPF|31987654321`: the word belongs to the number in the next cell.
_WORD_CELL = re.compile(rf"\b({_DOCUMENT_WORD})[ ]?\|", re.IGNORECASE | re.VERBOSE)
MOMENT = re.compile(
    r"(?<![0-9])(?:[0-3]?[0-9]([/.-])[01]?[0-9]\1(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}([/.-])[01]?[0-9]\2[0-3]?[0-9])"
    r"(?![0-9])|(?<![0-9])[0-2]?[0-9](?::[0-5][0-9]|h(?:[0-5][0-9])?)(?![0-9a-z])",
    re.IGNORECASE,
)
"""A date or a time of day."""
_EXTENSION = re.compile(
    r"(?<=[0-9)])[ ,;(-]{0,3}(?:\b(?:ramal|rm\.|r\.|ext)|;?ext|x|#)[ .:=]{0,3}[0-9]{1,6}(?![0-9])", re.IGNORECASE
)
# A spreadsheet took the number for a quantity.
_QUANTITY = re.compile(r"(?<![0-9.,])([0-9]{10,13})[.,]0+(?![0-9])")
TRUNK = re.compile(r"0 ?x ?x ?(?=[0-9(])", re.IGNORECASE)
"""`0xx84`: the trunk prefix, and a carrier's code left open."""
# `1) ` and `1. ` before a number, as in a list.
_ITEM = re.compile(r"(?<![^\s;,|])[0-9][.)] (?=[0-9(+])")
_LABEL = re.compile(r"(?:\b|_)(?:tel|telefone|fone|cel|celular|whats|whatsapp|wpp|zap|ddd)(?=[0-9(+])", re.IGNORECASE)
_AND = re.compile(r"(?<=[0-9]{4})(?:ou|e)(?=[(+]?[0-9]{2})", re.IGNORECASE)
_BRACKETS = str.maketrans("[]{}", "()()")
_BRACKET_GAP = re.compile(r"(?<=\() +| +(?=\))|\((?=\()|\)(?=\))")

_RUN = re.compile(r"[0-9+(][0-9 ().+/-]*")
_BESIDE = re.compile(r"[ )./-]*")
_GAP = r"[ ]?[.-]?[ ]?"
_CARRIER = r"\(?(?!90)[1-9][0-9]\)?"
_WHOLE = re.compile(
    rf"""
    (?: \(?\+[ ]?\(?55\)?{_GAP} | \(?00{_GAP}(?:{_CARRIER}{_GAP})?55\)?{_GAP} | \(?55\)?{_GAP} )?  # the country
    (?: \(0\)[ ]? )?
    \(? (?: 0{_GAP}(?:{_CARRIER}{_GAP})? | 90{_GAP}(?:{_CARRIER}{_GAP})? )?  # the trunk prefix, or a collect call
    \(? ([1-9][0-9]) \)? (?: {_GAP} | [ ]?/[ ]? )
    ( 9{_GAP}[0-9]{{4}}{_GAP}[0-9]{{4}} | 9[0-9]{{3}}{_GAP}[0-9]{{5}} | 9[0-9]{{2}}[ -][0-9]{{3}}[ -][0-9]{{3}}
    | 9[0-9][ -]?[0-9]{{3}}[ -]?[0-9]{{4}} | [2-9][0-9]{{3}}{_GAP}[0-9]{{4}} )
    (?![0-9])
    """,
    re.VERBOSE,
)
# Whole numbers too: without area code, and abroad.
_OTHER = re.compile(rf"(?:9{_GAP})?[2-9][0-9]{{3}}{_GAP}[0-9]{{4}}(?![0-9])|\+ ?(?!55)[1-9][0-9 ().-]{{6,18}}(?=/|$)")
# `3206-1234/35` are two numbers.
_OTHER_ENDING = re.compile(r" ?/ ?[0-9]{1,4}(?![0-9]|[ .-]{1,2}[0-9])")
_NEIGHBOUR = re.compile(r"[\w\x00-\x08\x0e-\x1b\x7f#%$@]")


def is_repeated(subscriber: str) -> bool:
    """Tell whether it is one digit throughout: people type this where a form requires a number."""
    return subscriber.count(subscriber[0]) == len(subscriber)


def sendable(text: str) -> tuple[str, ...]:
    """Return the E.164 forms of the whole, assignable numbers with area code in `text`, in their order.

    No digit is guessed. A number is whole where all the digits around it belong to numbers too: a date, a document's
    number or a stray digit would otherwise become a stranger's number.
    """
    if usual := USUAL.fullmatch(text):
        area, head, tail = usual.groups()
        # a mobile phone's head has five digits
        known = area in AREAS and (len(head) == 5 or head[0] in "2345") and not is_repeated(head + tail)
        return (f"+55{area}{head}{tail}",) if known else ()
    if "|" in text:
        text = _WORD_CELL.sub(r"\1 ", text)
        return tuple(found for cell in text.split("|") for found in sendable(cell.strip()))
    return tuple(_whole_numbers(_only_numbers(text)))


def _is_assignable(area: str, subscriber: str) -> bool:
    begins = "9" if len(subscriber) == 9 else "2345"
    return subscriber[0] in begins and area in AREAS and not is_repeated(subscriber)


def _only_numbers(text: str) -> str:
    """Return `text` without what has digits and is no phone."""
    text = _CHAT.sub(r" ; \1\2 ; ", plain(text))
    text = _PHONE_FOR_PIX.sub(r" ; \g<phone> ; ", _ADDRESS.sub(" ; ", text))
    for other in (_DOCUMENT, MOMENT):
        text = other.sub(" ; ", text)
    text = TRUNK.sub("0", _QUANTITY.sub(r"\1", text))
    for word in (_EXTENSION, _AND, _ITEM, _LABEL):
        text = word.sub(" ; ", text)
    return _BRACKET_GAP.sub("", text.translate(_BRACKETS))


def _whole_numbers(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        digits = run[0].rstrip(" (.+/-")
        start, end = run.start(), run.start() + len(digits)
        if not _NEIGHBOUR.search(text[max(start - 1, 0) : start] + text[end : end + 1]):
            yield from _of_run(digits)


def _of_run(digits: str) -> list[str]:
    """Return the assignable numbers of a run, none unless the run consists of whole numbers."""
    found = []
    place = 0
    while (place := _behind(_BESIDE, digits, place)) < len(digits):
        if whole := _WHOLE.match(digits, place):
            area, subscriber = whole[1], re.sub("[^0-9]", "", whole[2])
            if _is_assignable(area, subscriber):
                found.append(f"+55{area}{subscriber}")
            place = _behind(_OTHER_ENDING, digits, whole.end())
        elif other := _OTHER.match(digits, place):
            place = other.end()
        else:
            return []
    return found


def _behind(pattern: re.Pattern[str], text: str, place: int) -> int:
    """Return the place behind what `pattern` matches at `place`, or `place`."""
    match = pattern.match(text, place)
    return match.end() if match else place
