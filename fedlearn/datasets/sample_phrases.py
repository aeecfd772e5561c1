"""The phrases that the built-in sample is made of, written for it: `{name}` stands for one of `WORDS[name]`.

Numbers come from ranges reserved for fiction (Ofcom) and addresses from example domains (RFC 2606).
Ham and spam share many words on purpose, and the phrases under `BOTH` occur in either.
"""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    "friend": ("Mia", "Leo", "Ivy", "Max", "Zoe", "Sam", "Ruth", "Finn", "Ella", "Noah", "Kit", "Ada"),
    "kin": ("mum", "dad", "gran", "my sister", "my brother", "the kids", "uncle Pete", "auntie Jo"),
    "place": ("the station", "town", "the park", "the library", "the old mill", "the pool", "the harbour"),
    "shop": ("the bakery", "the market", "the corner shop", "the chemist", "the garden centre"),
    "room": ("the small meeting room", "room four", "the top floor", "the canteen", "the lab"),
    "day": ("today", "tomorrow", "on Monday", "on Tuesday", "on Friday", "this weekend", "next week"),
    "time": ("at six", "at half past two", "around noon", "at nine", "after lunch", "before ten", "tonight"),
    "food": ("soup", "pancakes", "pasta", "curry", "a pie", "fish and chips", "salad", "dumplings", "cake"),
    "thing": ("umbrella", "blue jacket", "charger", "keys", "notebook", "bike pump", "rucksack", "glasses"),
    "goods": ("milk", "bread", "eggs", "apples", "rice", "cheese", "tea bags", "onions", "candles"),
    "game": ("the match", "the cup game", "chess club", "five a side", "the relay", "training", "the quiz"),
    "team": ("the reds", "our lot", "the juniors", "the away side", "the village team"),
    "paper": (
        "the draft",
        "the report",
        "the budget",
        "the slides",
        "the contract",
        "the minutes",
        "the plan",
    ),
    "task": ("review", "sign", "finish", "print", "check", "send", "update"),
    "mood": ("tired", "happy", "fine", "a bit late", "so hungry", "nearly there", "stuck in traffic", "free"),
    "film": ("that film", "the new play", "the concert", "the show", "the exhibition", "the comedy night"),
    "course": ("maths", "history", "chemistry", "the essay", "the lab report", "statistics", "french"),
    "small": ("2", "3", "5", "8", "10", "12", "15", "20"),
    "large": ("500", "750", "1000", "2000", "5000", "10000"),
    "money": ("£", "$", "€"),
    "prize": ("holiday", "cash prize", "new phone", "shopping voucher", "camera", "weekend break", "laptop"),
    "code": ("80062", "81303", "83600", "86021", "87077", "88039", "89555"),
    "phone": tuple(f"07700 900{n}" for n in (118, 264, 307, 451, 538, 672, 809, 946)),
    "site": (
        "win.example.com",
        "example.org/claim",
        "deals.example.net",
        "example.com/vip",
        "pay.example.org",
    ),
    "pill": ("slimming tablets", "herbal pills", "vitamin boosters", "sleep drops", "hair tonic"),
    "price": ("half price", "70% off", "at no cost", "for only 9.99", "from 4.99 a week", "free for a month"),
    "hurry": ("today only", "before midnight", "within 24 hours", "now", "while stocks last", "this week"),
    "stock": ("tiny miner", "solar start-up", "biotech newcomer", "shipping firm", "rare metal fund"),
}

HAM: dict[str, tuple[str, ...]] = {
    "friends": (
        "are you coming to {place} {day}?",
        "{friend} and I are at {place}, where are you?",
        "I am {mood}, see you {time}",
        "did you see {film}? {friend} said it was great!",
        "shall we try {food} {day}?",
        "lol {friend} lost the {thing} again",
        "sorry I missed your call, I was {mood}",
        "I won {small} {money} on {game}, drinks are on me!",
        "we have a free ticket for {film} {day}, want it?",
        "happy birthday {friend}! have a lovely day",
    ),
    "family": (
        "{kin} made {food}, there is plenty left",
        "can you pick up {kin} from {place} {time}?",
        "please get {goods} and {goods} from {shop}",
        "{kin} says hi and asks if you are eating well",
        "dinner is {time}, it will be {food}",
        "did you remember your {thing}? {kin} found one",
        "call {kin} when you get home please",
        "{shop} has an offer on {goods}, shall I get some?",
    ),
    "work": (
        "could you {task} {paper} {day}?",
        "the meeting is {time} in {room}",
        "{friend} will {task} {paper} and send it round",
        "I have put {paper} on your desk, please {task} it",
        "we need your answer on {paper} {day}",
        "the client called, they want {paper} {time}",
        "your account for the new system is ready, see {friend} in {room}",
        "travel costs of {money}{large} were approved, please {task} the claim",
    ),
    "study": (
        "have you done {course} yet?",
        "{course} is due {day}, I have not started",
        "meet in the library {time} for {course}?",
        "can I borrow your notes on {course}?",
        "{friend} got top marks in {course}!",
        "the lecture moved to {room} {day}",
        "I read {small} pages of {course} and I am {mood}",
    ),
    "sport": (
        "{game} starts {time}, bring your {thing}",
        "{team} won again, {small} to nil!",
        "who can drive to {game} {day}?",
        "{friend} is injured so we need one more for {game}",
        "great win for {team} {day}, what a match!",
        "kit money is {small} {money} each, pay {friend} please",
    ),
    "home": (
        "the plumber comes {day} {time}",
        "your parcel is with {friend} next door",
        "I left the {thing} on the stairs for you",
        "rent is due {day}, I sent my {small} share of the bill",
        "do we have any {goods} left?",
        "the boiler is off again, I will call the landlord",
    ),
}

SPAM: dict[str, tuple[str, ...]] = {
    "prizes": (
        "you have won a {prize}! call {phone} to claim {hurry}",
        "winner! your number was drawn for {money}{large}, text WIN to {code}",
        "congratulations, a {prize} is waiting for you at {site}",
        "free entry in our weekly draw, text PLAY to {code} {hurry}",
        "final notice: your {prize} must be claimed {hurry} on {phone}",
        "urgent! {money}{large} reward is held in your name, reply YES",
    ),
    "loans": (
        "need cash {day}? borrow up to {money}{large}, no checks, visit {site}",
        "your loan of {money}{large} is approved, confirm at {site} {hurry}",
        "pay less each month, call our advisers on {phone}",
        "you may be owed {money}{large}, reply CLAIM or call {phone}",
        "clear your debts {hurry}, apply at {site}",
    ),
    "accounts": (
        "your account is locked, sign in at {site} {hurry}",
        "dear customer, please update your details at {site}",
        "a payment of {money}{large} was refused, check your account at {site}",
        "your parcel is held, pay {small} {money} at {site}",
        "security notice: confirm your password {hurry} or lose access",
    ),
    "chat": (
        "hi, it is {friend}, I have a new number, call me on {phone}",
        "{friend} sent you a secret message, read it on {site}",
        "someone near you wants to meet {day}, text DATE to {code}",
        "I am {mood} and alone {time}, chat with me on {code}",
        "a friend of yours left a voice message, dial {phone}",
    ),
    "shops": (
        "{pill} {price}, order at {site}",
        "sale! every {prize} {price} {hurry}",
        "lose weight fast with {pill}, {price}, money back",
        "new phones {price}, free delivery {day}, call {phone}",
        "get the best {pill} without prescription {hurry}",
    ),
    "shares": (
        "this {stock} is about to triple, buy {hurry}",
        "experts agree: {money}{small} in our {stock} made {money}{large}",
        "hot tip, the {stock} moves {day}, join at {site}",
        "earn {money}{large} a week from home, ask us how at {site}",
    ),
}

BOTH: tuple[str, ...] = (
    "call me back on {phone} please",
    "are you free {day}?",
    "did you get my last message?",
    "see the offer from {shop}, {price}",
    "you still owe {money}{small}, please pay {day}",
    "thanks for your order, it will arrive {day}",
    "hi, it is {friend}, call me {time}",
)
