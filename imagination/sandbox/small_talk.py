"""Words of questions that are not about a quality: how to ask, what asks for sameness, what no outline shows. Pure data."""

from __future__ import annotations

from typing import FrozenSet


def _words(text: str) -> FrozenSet[str]:
    return frozenset(text.split())


# ask whether something stayed as it was
KEPT = _words(
    """
    same unchanged preserved preserve preserves kept keep keeps identical intact remain remains remained
    recognisable recognizable recognisably recognizably match matches matching consistent retained retains
    retain
    """
)

# ask whether it did not
CHANGED = _words(
    """
    changed change changes different differ differs altered alter transformed
    """
)

# may change while every outline stays
NOT_IN_OUTLINES = _words(
    """
    weather mood atmosphere clothes clothing outfit dress expression gender age text texture material time
    season style emotion hairstyle smile gaze makeup
    """
)

# may stand in a question without making it one about more than pictures as such
SMALL_TALK = _words(
    """
    a an the this that these those it its is are was were be been being does do did has have had can could would
    will should shall may might there here of in on at by with to from for as and or but than then so if how
    what which who whose when where i you we one any all both each some such only also now just still longer no
    not without free never neither nor lack lacks lacking hardly very clearly strongly distinctly plainly
    obviously noticeably visibly definitely overall mostly mainly predominantly generally quite rather really
    fairly slightly somewhat little bit more less most much many kind like look looks looking looked appear
    appears appearing seem seems show shows shown showing having give gives feel feels become becomes became
    turned turn picture pictures image images photo photograph photographs scene view result edited new original
    before input first second source light lighting lit brightness exposure illumination tone tones tonality
    colour colours color colors coloured colored palette hue hues tint tinted cast temperature warmth saturation
    sharpness focus detail details contrast noise graininess quality visible signs sign trace traces dominant
    dominate dominates dominated sky top upper bottom lower ground left right centre center middle part parts
    half third side area areas whole entire glow glows glowing compared comparison time day clear lies describe
    rate scale score percent percentage share level degree amount good well enough across throughout atmosphere
    cover covers filled full bathed hours least
    """
)
