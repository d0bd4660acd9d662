"""Ways in which people write phones and addresses, with the right answers of both sides and the reason.

The truth is the numbering plan, not the reader: Anatel's Resolução 749/2022
(https://informacoes.anatel.gov.br/legislacao/resolucoes/2022/1641-resolucao-749) has a two-digit area code and nine
digits that begin with 9 (mobile) or eight that begin with 2 to 5 (landline); 0 is the trunk prefix, 00 the
international one, both before a carrier's code of two digits; 90 begins a collect call; 1XX, 0300, 0500, 0800, 0900,
300X and 400X are services. Resolução 553/2010 put a 9 before the eight digits of mobile phones, from 2012 to 2016.
"""

from dataclasses import dataclass

MOBILE, OTHER = "+5584997084444", "+5584988887777"
LANDLINE, NEXT = "+558432061234", "+558432061235"
PAULISTA, GAUCHO = "+5511987654321", "+5555997084444"
ELSEWHERE = "+5511997084444"
"""The mobile phone's digits in another area."""
STRANGERS = ("+5584997084445", "+5521976543210", "+558133334567", "+5547999990001")
"""People whom no notation here names."""


@dataclass(frozen=True)
class Case:
    """Notations with the same answers: what is sent to, in its order, and who is blocked."""

    why: str
    sent: tuple[str, ...]
    blocked: tuple[str, ...]
    notations: tuple[str, ...]


PHONES = (
    Case(
        "area code and nine digits",
        (MOBILE,),
        (MOBILE,),
        (
            "84997084444", "84 997084444", "84 99708-4444", "84 99708 4444", "84 99708.4444", "84-99708-4444",
            "84.99708.4444", "84.99708-4444", "84/99708-4444", "84 / 99708-4444", "(84)997084444", "(84) 997084444",
            "(84)99708-4444", "(84) 99708-4444", "(84) 99708 4444", "(84) 99708.4444", "(84)-99708-4444",
            "( 84 ) 99708-4444", "(84 )99708-4444", "84) 99708-4444", "(84 99708-4444", "[84] 99708-4444",
            "{84} 99708-4444", "(84 99708-4444)", "((84)) 99708-4444", "84 9 9708-4444", "84 9 9708 4444",
            "84 9.9708-4444", "84 9.9708.4444", "(84) 9 9708-4444", "(84)9 9708-4444", "(84)9.9708-4444",
            "(84) 9-9708-4444", "84 997 084 444", "84 997-084-444", "84 99 708 4444", "84 9970-84444",
            "84 99708 - 4444", "84 - 99708 - 4444", "84  99708  4444", " 84 99708-4444 ", "84 99708-4444.",
            "8499708-4444", "8499708 4444", "84 99708–4444", "84 99708—4444", "84 99708−4444", "84 99708‐4444",
            "84 99708‑4444", "8499 708 4444",
        ),
    ),
    Case(
        "the country before it",
        (MOBILE,),
        (MOBILE,),
        (
            "+5584997084444", "5584997084444", "+55 84 99708-4444", "55 84 99708-4444", "+55 (84) 99708-4444",
            "55 (84) 99708-4444", "+55(84)99708-4444", "+55-84-99708-4444", "+55.84.99708.4444", "+55 84 9 9708-4444",
            "(+55) 84 99708-4444", "(+55)84997084444", "(+55) (84) 99708-4444", "(55) 84 99708-4444",
            "(55)(84)99708-4444", "+(55) 84 99708-4444", "+ 55 84 99708-4444", "(55 84) 99708-4444",
            "+55 (0)84 99708-4444", "+55 (084) 99708-4444", "+55 0 84 99708-4444", "+55 (0xx84) 99708-4444",
            "0055 84 99708-4444", "005584997084444", "00 55 84 99708-4444", "00 15 55 84 99708-4444",
            "00155584997084444", "00 21 55 (84) 99708-4444",
        ),
    ),
    Case(
        "the trunk prefix, a carrier's code or a collect call before it",
        (MOBILE,),
        (MOBILE,),
        (
            "084997084444", "084 99708-4444", "0 84 99708-4444", "(084) 99708-4444", "(0 84) 99708-4444",
            "0(84) 99708-4444", "0xx84 99708-4444", "0xx 84 99708-4444", "0XX84997084444", "(0xx84) 99708-4444",
            "(0XX84)99708-4444", "0xx(84) 99708-4444", "0 xx 84 99708-4444", "0 15 84 99708-4444",
            "01584997084444", "015 84 99708-4444", "0 21 (84) 99708-4444", "0 (41) 84 99708-4444",
            "(0 15 84) 99708-4444", "(015) 84 99708-4444", "0xx15 84 99708-4444", "9084997084444",
            "90 84 99708-4444", "90 15 84 99708-4444",
        ),
    ),
    Case(
        "words, links and signs beside it",
        (MOBILE,),
        (MOBILE,),
        (
            "tel 84997084444", "tel: 84 99708-4444", "tel.: (84) 99708-4444", "Tel.84997084444", "tel84997084444",
            "cel:84997084444", "whats84997084444", "Celular (84) 99708-4444", "fone/whats: 84 99708-4444",
            "WhatsApp +55 84 99708-4444", "zap 84 99708-4444", "84 99708-4444 (recado)", "84 99708-4444 recado",
            "84 99708-4444 - Ana", "Ana - 84 99708-4444", "Ana (84) 99708-4444 trabalho", "(recado)84 99708-4444",
            "84 99708-4444 falar com Ana", "84 99708-4444!", "84 99708-4444?", "'84997084444", '"84997084444"',
            "*84 99708-4444*", "<84997084444>", "=84997084444", "DDD 84 99708-4444", "tel:84997084444",
            "tel:+5584997084444", "tel:+55-84-99708-4444", "TEL:+55 84 99708-4444", "https://wa.me/5584997084444",
            "http://wa.me/+5584997084444", "wa.me/5584997084444", "https://wa.me/5584997084444?text=oi%201",
            "https://api.whatsapp.com/send?phone=5584997084444",
            "https://api.whatsapp.com/send?phone=%2B5584997084444&text=oi", "whatsapp://send?phone=5584997084444",
            "https://web.whatsapp.com/send?phone=5584997084444", "5584997084444@c.us", "5584997084444@s.whatsapp.net",
            "5584997084444:12@s.whatsapp.net", "84 99708-4444 das 8h às 18h", "84 99708-4444 (8h-12h)",
            "84 99708-4444 08:00-18:00", "84 99708-4444 em 12/11/2026", "12/11/2026: 84 99708-4444",
            "📱 84 99708-4444", "📱84997084444📱", "☎ (84) 99708-4444", "ana@exemplo.com.br 84 99708-4444",
            "84 99708-4444, ana@exemplo.com.br", "www.exemplo.com.br 84 99708-4444",
            "84997084444.0", "84997084444,00", "84997084444/ana@exemplo.com.br", "ana@exemplo.com.br/84997084444",
            "5584997084444.0", "1) 84 99708-4444", "1. (84) 99708-4444", "+55 84 99708-4444 / +1 415 555 2671",
            "+1 415 555 2671 / 84 99708-4444", "https://api.whatsapp.com/send?text=oi&phone=5584997084444",
            "CPF 123.456.789-09 tel 84 99708-4444", "Rua 12 - CEP 59020-100 - 84 99708-4444",
        ),
    ),
    Case(
        "an extension is no part of the number",
        (MOBILE,),
        (MOBILE,),
        (
            "84 99708-4444 ramal 12", "84997084444 ramal 1234", "84 99708-4444, ramal 12", "84 99708-4444 (ramal 12)",
            "84 99708-4444 Ramal: 12", "84 99708-4444 r. 12", "84997084444x12", "84 99708-4444 x12",
            "84 99708-4444 ext 12", "84 99708-4444 ext. 12", "84997084444;ext=3", "84 99708-4444 #12",
        ),
    ),
    Case(
        "characters that only look different, or that nobody sees",
        (MOBILE,),
        (MOBILE,),
        (
            "８４９９７０８４４４４", "（８４）９９７０８－４４４４", "＋５５８４９９７０８４４４４",
            "84\u00a099708-4444",
            "84\u202f99708\u20094444", "84\u300099708-4444", "\ufeff84997084444", "84997084444\u200b",
            "84\u200b99708\u200b4444", "\u202a+55 84 99708-4444\u202c", "\u200e84997084444\u200f",
            "84\u206699708\u2069-4444", "84\u00ad99708\u00ad4444", "84\u206099708-4444",
            "8\ufe0f\u20e34\ufe0f\u20e3 99708-4444",
            "84 99708&#45;4444", "84&nbsp;99708-4444", "𝟖𝟒𝟗𝟗𝟕𝟎𝟖𝟒𝟒𝟒𝟒",
        ),
    ),
    Case(
        "several numbers, of which the first decides",
        (MOBILE, OTHER),
        (MOBILE, OTHER),
        (
            "84 99708-4444|84 98888-7777", "84 99708-4444 | 84 98888-7777", "84 99708-4444/84 98888-7777",
            "84 99708-4444 / 84 98888-7777", "(84)99708-4444/(84)98888-7777", "84 99708-4444;84 98888-7777",
            "84 99708-4444; 84 98888-7777", "84 99708-4444,84 98888-7777", "84 99708-4444, 84 98888-7777",
            "84 99708-4444\n84 98888-7777", "84 99708-4444\r\n84 98888-7777", "84 99708-4444\t84 98888-7777",
            "84 99708-4444\u202884 98888-7777", "84 99708-4444 ou 84 98888-7777", "84 99708-4444 OU 84 98888-7777",
            "84 99708-4444 e 84 98888-7777", "84997084444ou84988887777", "84997084444e84988887777",
            "84997084444 84988887777", "84 99708-4444 84 98888-7777", "(84) 99708-4444 (84) 98888-7777",
            "(84) 99708-4444(84) 98888-7777", "84 99708-4444 - 84 98888-7777", "+5584997084444 +5584988887777",
            "+55 84 99708-4444 +55 84 98888-7777", "084997084444 015 84 98888-7777",
            "84 99708-4444 (Ana) 84 98888-7777 (Bia)", "cel 84 99708-4444 casa 84 98888-7777",
            "1) 84 99708-4444 2) 84 98888-7777", "Telefone 1: 84 99708-4444 Telefone 2: 84 98888-7777",
            "84 99708-4444 ramal 12 / 84 98888-7777", "84 99708-4444 ||| 84 98888-7777",
            "84 99708-4444<br>84 98888-7777",
        ),
    ),
    Case(
        "a landline: eight digits that begin with 2 to 5",
        (LANDLINE,),
        (LANDLINE,),
        (
            "8432061234", "84 3206-1234", "(84)3206-1234", "(84) 3206 1234", "84.3206.1234", "+558432061234",
            "558432061234", "+55 (84) 3206-1234", "084 3206-1234", "0xx84 3206-1234", "0 15 84 3206-1234",
            "01584 3206-1234", "0055 84 3206-1234", "90 84 3206-1234", "84 3206-1234 ramal 12", "84 3206-1234 x12",
            "tel: 84 3206-1234", "84 3206-1234 (casa)", "8432061234.0", "84/3206-1234",
        ),
    ),
    Case(
        "another ending is another number; only the whole one is sent to",
        (LANDLINE,),
        (LANDLINE, NEXT),
        ("84 3206-1234/35", "84 3206-1234/5", "84 3206-1234/1235", "(84) 3206-1234 / 1235"),
    ),
    Case(
        "another ending after a word",
        (LANDLINE,),
        (LANDLINE, NEXT),
        ("84 3206-1234 e 1235", "84 3206-1234 ou 35", "84 3206-1234 a 1235", "84 3206-1234 à 35"),
    ),
    Case(
        "the second number has no area code, which is not guessed for a send",
        (MOBILE,),
        (MOBILE, OTHER),
        (
            "84 99708-4444 / 98888-7777", "84 99708-4444 ou 98888-7777", "84 99708-4444 e 8888-7777",
            "(84) 99708-4444, 98888-7777", "84 99708-4444|98888-7777", "84997084444 988887777",
        ),
    ),
    Case(
        "an old mobile number: its ninth digit is not guessed for a send, but names its subscriber",
        (),
        (MOBILE,),
        (
            "84 9708-4444", "(84) 9708-4444", "8497084444", "+55 84 9708-4444", "+558497084444", "558497084444",
            "084 9708-4444", "0xx84 9708-4444", "0 15 84 9708-4444", "0055 84 9708-4444", "tel: (84) 9708-4444",
            "84 9708-4444 (recado)", "84 9708-4444/1", "8497084444.0", "84-9708-4444",
        ),
    ),
    Case(
        "an old mobile number of the issue",
        (),
        (PAULISTA,),
        ("1198765432.0 ou 11 8765-4321", "(11) 8765-4321", "+55 11 8765-4321"),
    ),
    Case(
        "no area code: whoever has these last digits",
        (),
        (MOBILE, ELSEWHERE, GAUCHO),
        (
            "99708-4444", "997084444", "99708 4444", "9 9708-4444", "9.9708-4444", "9708-4444", "97084444",
            "tel 99708-4444", "99708-4444 (recado)", "+55 99708-4444", "+55 997084444", "0 99708-4444",
            "9090 99708-4444", "9090997084444", "99708-4444 DDD 84", "(xx) 99708-4444", "(__) 99708-4444",
            "(00) 99708-4444", "(20) 99708-4444", "DDD: 84 Tel: 99708-4444", "84 (cel) 99708-4444",
            "997-084-444", "99708-4444 ramal 2",
        ),
    ),
    Case(
        "a cell or a line in the middle: not certain enough for a send",
        (),
        (MOBILE,),
        (
            "84|99708-4444", "84;99708-4444", "84\t99708-4444", "84\n99708-4444", "(84)\n99708-4444", "84,99708-4444",
            "84_99708_4444", "84*99708*4444", "8 4 9 9 7 0 8 4 4 4 4", "84 99 70 84 44 4", "84.997.084.444",
            "84 997O8-4444", "٨٤٩٩٧٠٨٤٤٤٤", "9090 84997084444", "abc84997084444", "84997084444abc",
            "84 99708-4444 12", "84997084444849888877770", "https://x.com/5584997084444", "#84997084444",
            "5584997084444-1612345678@g.us", "84997084444@gmail.com", "tel:%2B5584997084444 1", "+84 99708-4444",
            "Ramal 12 - 84 99708-4444", "59020-100 84 99708-4444",
            "5584997084444@lid", "84 99708:4444",
        ),
    ),
    Case(
        "55 may be the country or the area of Santa Maria",
        (GAUCHO,),
        (GAUCHO,),
        ("(55) 99708-4444", "55 99708-4444", "55997084444", "+5555997084444", "+55 55 99708-4444", "5555997084444"),
    ),
    Case(
        "a document's number, whose digits may be a phone's",
        (),
        (PAULISTA,),
        (
            "119.876.543-21", "CPF 11987654321", "CPF: 119.876.543-21", "119876543-21", "cpf nº 11987654321",
            "RG 11987654321", "protocolo 11987654321", "pedido 11987654321", "contrato nº 11987654321",
            "R$ 11987654321", "11987654321-00", "11987654321@exemplo.com.br",
        ),
    ),
    Case(
        "a word beside it says that it is a document's, an account's or an order's",
        (),
        (PAULISTA,),
        (
            "NF 11987654321", "NF-e 11987654321", "NFe: 11987654321", "nota fiscal nº 11987654321", "IE 11987654321",
            "inscrição estadual 11987654321", "Inscr. Municipal: 11987654321", "conta 11987654321",
            "conta corrente 11987654321", "conta poupança: 11987654321", "c/c 11987654321",
            "agência 1234 conta 11987654321", "agencia 11987654321", "ag. 1234 11987654321", "CPF=11987654321",
            "CPF (11987654321)", "CPF/CNPJ 11987654321", "CPF do cliente: 11987654321", "CPF é 11987654321",
            "CPF 11 98765-4321", "cpf: (11) 98765-4321", "11987654321 (CPF)", "11987654321 - CPF", "CNPJ 11987654321",
            "CNPJ nº 11987654321", "pedido nº 11987654321", "Pedidos: 11987654321", "pedido (11) 98765-4321",
            "pedido 11 98765 4321", "protocolo: 11 98765-4321", "protocolo n. 11987654321", "OS 11987654321",
            "ordem de serviço 11987654321", "título de eleitor 11987654321", "cód. 11987654321", "RG\u00a011987654321",
            "fatura 11987654321", "cartão 11987654321", "banco 11987654321", "ref. 11987654321",
        ),
    ),
    Case(
        "a key of Pix may be a CPF, and a phone's owner did not give it to be written to",
        (),
        (PAULISTA,),
        (
            "pix 11987654321", "Pix: 11987654321", "PIX - 11987654321", "chave pix 11987654321",
            "chave pix: 11 98765-4321", "pix (11) 98765-4321", "pix CPF 11987654321", "pix chave 11987654321",
            "pix (11987654321)", "11987654321 (pix)", "11 98765-4321 pix", "chave aleatória 11987654321",
        ),
    ),
    Case(
        "a key of Pix that a word or the country says to be a phone",
        (PAULISTA,),
        (PAULISTA,),
        (
            "pix +55 11 98765-4321", "pix: +5511987654321", "pix tel 11987654321", "pix (celular) 11 98765-4321",
            "pix e whats 11 98765-4321", "tel/pix 11987654321", "whats e pix: 11 98765-4321",
            "celular (pix) 11987654321", "zap/pix 11 98765-4321", "+55 11 98765-4321 (pix)", "tel 11987654321 (pix)",
            "whats: (11) 98765-4321 pix", "+5511987654321 pix",
        ),
    ),
    Case(
        "a phone, and a key of Pix or a document that is another number",
        (PAULISTA,),
        (PAULISTA,),
        (
            "cel 11987654321 pix 31987654321", "tel: 11 98765-4321 - pix: 31987654321",
            "whatsapp 11 98765-4321 (pix) 31987654321", "CEP 01310-100 11 98765-4321",
            "CEP 01310-100 (11) 98765-4321", "RG 12.345.678-9 11 98765-4321",
            "CNPJ 12.345.678/0001-95 11 98765-4321",
        ),
    ),
    Case(
        "the word of a document, however it is written, and on whichever side",
        (),
        (PAULISTA,),
        (
            "C.P.F. 11987654321", "cpf,11987654321", "CPF|11987654321", "(CPF) 11987654321",
            "11987654321 - CPF do cliente", "11987654321 (CPF) Maria",
        ),
    ),
    Case(
        "a document beside a phone of its own",
        (PAULISTA,),
        (PAULISTA,),
        (
            "CPF 123.456.789-09 11 98765-4321", "11 98765-4321 CPF 123.456.789-09", "pedido 123 - 11 98765-4321",
            "NF 1234; 11 98765-4321", "conta 123, tel 11 98765-4321", "11 98765-4321 falar da conta",
            "Banco do Brasil - 11 98765-4321",
        ),
    ),
    Case(
        "fragments that would become a stranger's number",
        (),
        (),
        (
            "1198765432.0", "319.876.543-21", "(11) 9876-5432/1", "(01) 98765-4321",
            "12-11-2026 08", "12/11/2026 08:00",
            "2026-11-12 08:00", "12.11.2026", "84 99708-44445", "(011) 98765-43210",
            "84 99708-444", "849970844445", "12.345.678/0001-90", "01984997000190",
            "12.345.678-9", "59000-000", "CEP 59020-100", "-5.7945 -35.2110", "1.1987E+10", "5,58E+12",
            "12345678901234567890", "84 1234-5678", "84 0234-5678", "8490", "00 00000-0000",
        ),
    ),
    Case(
        "one digit throughout: typed into an obligatory field",
        (),
        (),
        (
            "00000000000", "11111111111", "99999999999", "(99) 99999-9999", "(84) 99999-9999", "(22) 2222-2222",
            "+5599999999999", "99999-9999", "(84) 3333-3333",
            "84 9 9999-9999", "tel: 84 99999-9999", "+55 (84) 9.9999.9999", "84 5555-5555", "999999999", "0000-0000",
        ),
    ),
    Case(
        "services and series that are no subscriber's",
        (),
        (),
        (
            "190", "192", "0800 123 4567", "08001234567", "0300 123 4567", "0500 123 4567",
            "0900 123 4567", "4004-1234",
            "4003 1234", "3003-1234", "10315", "1331", "9970", "(20) 3206-1234", "(10) 3206-1234", "84 7890-123",
            "+55 800 123 4567",
        ),
    ),
    Case(
        "series that are not assigned: 6 to 8 in eight digits, nine digits that do not begin with 9",
        (),
        (),
        ("84 6234-5678", "84 7234-5678", "84 8234-5678", "84 83234-5678", "84 19708-4444", "84 59708-4444"),
    ),
    Case(
        "foreign numbers",
        (),
        (),
        ("+1 415 555 2671", "+351 912 345 678", "+44 20 7946 0958", "+54 9 11 2345-6789", "0044 20 7946 0958"),
    ),
    Case(
        "no number at all",
        (),
        (),
        ("", " ", "-", "n/a", "não tem", "sem telefone", "ana@exemplo.com.br", "http://wa.me/", "(84)", "???", "x"),
    ),
)  # fmt: skip

ANA, BIA = "ana@exemplo.com.br", "bia@exemplo.com.br"
IDN, LIMA, MAILBOX = "ana@ação.com.br", "ana.lima@exemplo.com.br", "analima@gmail.com"
ADDRESS_STRANGERS = ("carla@exemplo.com.br", "ana@exemplo.net", "ana@outro.com.br", "an@exemplo.com.br")

ADDRESSES = (
    Case(
        "the address alone, or with space around it",
        (ANA,),
        (ANA,),
        (
            "ana@exemplo.com.br", " ana@exemplo.com.br ", "ana@exemplo.com.br\n", "\tana@exemplo.com.br",
            "ana@exemplo.com.br\r\n", "ana@EXEMPLO.COM.BR", "ana@Exemplo.com.br",
        ),
    ),
    Case(
        "names, quotes, links and marks around it",
        (ANA,),
        (ANA,),
        (
            "Ana Lima <ana@exemplo.com.br>", '"Ana Lima" <ana@exemplo.com.br>', "<ana@exemplo.com.br>",
            "Ana Lima (ana@exemplo.com.br)", "[ana@exemplo.com.br]", "ana@exemplo.com.br (Ana)",
            "mailto:ana@exemplo.com.br", "MAILTO:ana@exemplo.com.br", "mailto:ana@exemplo.com.br?subject=oi",
            "'ana@exemplo.com.br'", '"ana@exemplo.com.br"', "“ana@exemplo.com.br”", "‘ana@exemplo.com.br’",
            "«ana@exemplo.com.br»", "`ana@exemplo.com.br`", "ana@exemplo.com.br.", "ana@exemplo.com.br,",
            "ana@exemplo.com.br;", "ana@exemplo.com.br!", "ana@exemplo.com.br?", "*ana@exemplo.com.br*",
            "email: ana@exemplo.com.br", "e-mail:ana@exemplo.com.br", "E-mail ana@exemplo.com.br",
            "email=ana@exemplo.com.br", "ana@exemplo.com.br recado", "ana@exemplo.com.br - Ana",
            "Ana - ana@exemplo.com.br", "84 99708-4444 ana@exemplo.com.br", "84997084444/ana@exemplo.com.br",
            "Ana &lt;ana@exemplo.com.br&gt;", "ana&#64;exemplo.com.br", "ana@exemplo.com.br>",
            "| ana@exemplo.com.br |",
            "[ana@exemplo.com.br](mailto:ana@exemplo.com.br)",
        ),
    ),
    Case(
        "characters that only look different, or that nobody sees",
        (ANA,),
        (ANA,),
        (
            "ana＠exemplo.com.br", "ａｎａ@exemplo.com.br", "ana@ｅｘｅｍｐｌｏ.com.br", "\ufeffana@exemplo.com.br",
            "ana@exemplo.com.br\u200b", "ana\u200b@exemplo.com.br", "\u202aana@exemplo.com.br\u202c",
            "ana\u00ad@exemplo.com.br", "\u00a0ana@exemplo.com.br", "ana@exemplo。com。br",
        ),
    ),
    Case(
        "several, of which the first decides",
        (ANA, BIA),
        (ANA, BIA),
        (
            "ana@exemplo.com.br|bia@exemplo.com.br", "ana@exemplo.com.br | bia@exemplo.com.br",
            "ana@exemplo.com.br;bia@exemplo.com.br", "ana@exemplo.com.br; bia@exemplo.com.br",
            "ana@exemplo.com.br,bia@exemplo.com.br", "ana@exemplo.com.br, bia@exemplo.com.br",
            "ana@exemplo.com.br/bia@exemplo.com.br", "ana@exemplo.com.br / bia@exemplo.com.br",
            "ana@exemplo.com.br bia@exemplo.com.br", "ana@exemplo.com.br\nbia@exemplo.com.br",
            "ana@exemplo.com.br\tbia@exemplo.com.br", "ana@exemplo.com.br ou bia@exemplo.com.br",
            "ana@exemplo.com.br e bia@exemplo.com.br", "Ana <ana@exemplo.com.br>, Bia <bia@exemplo.com.br>",
            "mailto:ana@exemplo.com.br,bia@exemplo.com.br", "<ana@exemplo.com.br><bia@exemplo.com.br>",
        ),
    ),
    Case(
        "the case before the @ is kept for a send and ignored for a block",
        ("ANA@exemplo.com.br",),
        (ANA,),
        ("ANA@EXEMPLO.COM.BR", "ANA@exemplo.com.br", "Ana <ANA@Exemplo.com.br>"),
    ),
    Case(
        "a domain in its two forms",
        (IDN,),
        (IDN,),
        (
            "ana@ação.com.br", "ana@AÇÃO.com.br", "ana@xn--ao-siap.com.br", "ana@XN--AO-SIAP.com.br",
            "Ana <ana@ação.com.br>", "ana@ac\u0327a\u0303o.com.br",
        ),
    ),
    Case(
        "a tag names the same mailbox",
        ("ana+loja@exemplo.com.br",),
        (ANA,),
        ("ana+loja@exemplo.com.br", "Ana <ana+loja@exemplo.com.br>"),
    ),
    Case("an accent before the @ is nearly always a slip", ("aná@exemplo.com.br",), (ANA,), ("aná@exemplo.com.br",)),
    Case(
        "Gmail ignores dots and has two names",
        ("ana.lima@gmail.com",),
        (MAILBOX,),
        ("ana.lima@gmail.com", "<ana.lima@GMAIL.com>"),
    ),
    Case("Gmail's other name", ("analima@googlemail.com",), (MAILBOX,), ("analima@googlemail.com",)),
    Case(
        "written so that no program finds it: a person does",
        (),
        (ANA,),
        (
            "ana (at) exemplo.com.br", "ana [at] exemplo.com.br", "ana (arroba) exemplo.com.br",
            "ana arroba exemplo.com.br", "ana at exemplo.com.br", "ana arroba exemplo ponto com ponto br",
            "ana[at]exemplo[dot]com[dot]br", "ana @ exemplo.com.br", "ana@ exemplo.com.br", "ana @exemplo.com.br",
            "ana@exemplo .com.br", "ana@exemplo. com.br", "ana@exemplo,com.br", "ana@exemplo.com .br",
            "ana%40exemplo.com.br", "ana@exemplo.com,br", "ana@exemplo (ponto) com (ponto) br",
        ),
    ),
    Case(
        "an address that a mail server can refuse, or a fragment",
        (),
        (),
        (
            "ana", "ana@", "@exemplo.com.br", "@", "ana.exemplo.com.br", "https://exemplo.com.br/ana", "n/a", "-", "",
            "não informado", "ana@exemplo", "ana@localhost", "ana@10.0.0.1", "ana@exemplo..com.br",
            "ana..lima@exemplo.com.br",
            "ana@-exemplo.com.br", "ana@bia@exemplo.com.br", "lima@exemplo@com.br", "84997084444",
        ),
    ),
    Case(
        "a space that may belong to the address, so that what follows it may be a stranger",
        (),
        (),
        ("ana lima@exemplo.com.br", "Ana lima@exemplo.com.br", "joão/lima@exemplo.com.br", "a=lima@exemplo.com.br"),
    ),
    Case("a name before a link's user", (), (), ("https://lima@exemplo.com.br/", "ftp://lima@exemplo.com.br")),
)  # fmt: skip

# {a} the area, {n} the subscriber's digits, {f} and {b} what stands before and after the hyphen, {o} without the 9.
WRITTEN = (
    "{a}{n}", "{a} {n}", "({a}){f}-{b}", "({a}) {f}-{b}", "({a}) {f} {b}", "{a} {f}-{b}", "{a}-{f}-{b}",
    "{a}.{f}.{b}", "{a}/{f}-{b}", "+55{a}{n}", "55{a}{n}", "+55 {a} {f}-{b}", "+55 ({a}) {f}-{b}", "(+55) {a} {f}-{b}",
    "+55 (0){a} {f}-{b}", "0055{a}{n}", "00 15 55 {a} {f}-{b}", "0{a}{n}", "0 {a} {f}-{b}", "(0{a}) {f}-{b}",
    "0xx{a} {f}-{b}", "(0xx{a}) {f}-{b}", "0 21 {a} {f}-{b}", "041{a}{n}", "90{a}{n}", "tel: {a} {f}-{b}",
    "cel:{a}{n}", "{a} {f}-{b} (recado)", "Ana - ({a}) {f}-{b} trabalho", "{a} {f}-{b} ramal 12", "{a}{n}x12",
    "tel:+55-{a}-{f}-{b}", "https://wa.me/55{a}{n}", "55{a}{n}@c.us", "\u202a+55 {a} {f}-{b}\u202c",
    "{a}\u00a0{f}\u2013{b}", "\ufeff{a}{n}\u200b", "{a} {f}-{b} / 21 97654-3210", "21 97654-3210 ou {a} {f}-{b}",
    "21976543210;{a}{n}", "21 97654-3210\n({a}) {f}-{b}", "{a}{n}.0", "{a} {f} - {b}", "[{a}] {f}-{b}",
)  # fmt: skip
# The plan has no whole number in these, so that only the blocklist's side reads them.
WITHOUT_MORE = (
    "{n}",
    "{f}-{b}",
    "{f} {b}",
    "tel {f}-{b}",
    "+55 {f}-{b}",
    "{o}",
    "{a} {o}",
    "({a}) {o}",
    "+55{a}{o}",
    "{a}|{f}-{b}",
)
ADDRESSED = (
    "{l}@{d}", " {l}@{d} ", "{L}@{D}", "Ana Lima <{l}@{d}>", '"Lima, Ana" <{l}@{d}>', "<{l}@{d}>", "({l}@{d})",
    "mailto:{l}@{d}", "mailto:{l}@{d}?subject=oi", "'{l}@{d}'", "{l}@{d}.", "{l}@{d},", "email: {l}@{d}",
    "{l}@{d};bia@exemplo.com.br", "bia@exemplo.com.br, {l}@{d}", "bia@exemplo.com.br/{l}@{d}",
    "bia@exemplo.com.br ou {l}@{d}", "{l}@{d}\nbia@exemplo.com.br", "{l}\u200b@{d}", "\u202a{l}@{d}\u202c",
    "{l}\uff20{d}", "{l}+loja@{d}", "84 99708-4444 {l}@{d}", "{l}@{d} recado", "{l} (at) {d}", "{l} @ {d}",
    "{l}%40{d}", "{l} arroba {d}", "[{l}@{d}]", "“{l}@{d}”", "*{l}@{d}*", "e-mail:{l}@{d}", "email={l}@{d}", "{l}@{D}",
    "{l}@{d}!", "Ana - {l}@{d}", "{l}@{d} (Ana)", "{l}@{d}|bia@exemplo.com.br", "bia@exemplo.com.br\t{l}@{d}",
    "<bia@exemplo.com.br><{l}@{d}>", "{l}&#64;{d}", "Ana &lt;{l}@{d}&gt;", "{l}[at]{d}", "\u00a0{l}@{d}\ufeff",
)  # fmt: skip


def written(notation: str, area: str, subscriber: str) -> str:
    """Return a phone in one of the notations."""
    without_ninth = subscriber[1:] if len(subscriber) == 9 and subscriber[1] in "6789" else subscriber
    return notation.format(a=area, n=subscriber, f=subscriber[:-4], b=subscriber[-4:], o=without_ninth)


def addressed(notation: str, local: str, domain: str) -> str:
    return notation.format(l=local, d=domain, L=local.upper(), D=domain.upper())
