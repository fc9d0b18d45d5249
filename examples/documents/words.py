"""The words by which languages and months are told, and those that tell nothing."""


def _each(text: str) -> frozenset[str]:
    return frozenset(text.split())


LANGUAGES = {
    "English": _each("the and of to in that is was for it with on are be this have from by not at which"),
    "German": _each("der die das und ist nicht ein eine zu den mit sie wir ihnen für auf es im dem bis"),
    "French": _each("le la les et des que vous nous est une pour dans votre avons qui du il avec ne pas"),
    "Spanish": _each("el la los que de en y por con su las del se una para no le lo un nos"),
}

_MONTH_NAMES = (
    "january february march april may june july august september october november december",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
)
MONTHS = {name: number for names in _MONTH_NAMES for number, name in enumerate(names.split(), 1)}

STOP_WORDS = _each(
    """
    about above after again against also been before being below between both cannot could does down during each every
    from further have having here into itself just less more most must nobody none nothing once only other others ours
    over same shall she should some such than that their them then there these they this those through under until upon
    very were what when where which while will with without would your yours
    avec bien dans elle lettre mais même nous pour quatre sans sont sur tout votre vous
    aber auch dass diese doch eine einen einer haben ihnen können mehr nicht noch oder ohne sehr sein sich sind
    wenn wird
    cada como esta este para pero porque también todo todos
    """
) | frozenset(MONTHS)
