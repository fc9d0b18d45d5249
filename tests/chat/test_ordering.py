"""Chunks in order, as the contract's pods put them."""

from hypothesis import given
from hypothesis import strategies as st

from ropewalk.chat.ordering import Ordering, OrderingLimits, Orderings


def test_the_example_of_the_contract() -> None:
    ordering: Ordering[int] = Ordering(0.0)
    sent = {at: ordering.take(at, at, is_final=at == 5, now=0.0) for at in (3, 1, 4, 0, 5, 2)}
    assert sent == {3: [], 1: [], 4: [], 0: [0, 1], 5: [], 2: [2, 3, 4, 5]}
    assert ordering.is_complete


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=12))
def test_any_order_and_any_doubles_give_each_chunk_once_in_order(order: list[int], doubles: list[int]) -> None:
    ordering: Ordering[int] = Ordering(0.0)
    sent = [one for at in [*order, *doubles] for one in ordering.take(at, at, is_final=at == 11, now=0.0)]
    assert sent == [*range(12)]
    assert ordering.is_complete
    assert not ordering.missing


def test_of_two_chunks_with_one_number_the_first_counts() -> None:
    ordering: Ordering[str] = Ordering(0.0)
    assert ordering.take(1, "first", is_final=True, now=0.0) == []
    assert ordering.take(1, "second", is_final=True, now=0.0) == []
    assert ordering.take(0, "zero", is_final=False, now=0.0) == ["zero", "first"]


def test_a_late_chunk_does_not_begin_a_complete_message_again() -> None:
    orderings: Orderings[str] = Orderings()
    assert orderings.take("m", 0, "all", is_final=True, now=0.0) == ["all"]
    assert orderings.take("m", 0, "all", is_final=True, now=1.0) == []


def test_a_full_pod_refuses_new_messages_and_goes_on_with_those_it_has() -> None:
    orderings: Orderings[str] = Orderings(OrderingLimits(messages=1, chunks=2))
    assert orderings.take("a", 1, "1", is_final=False, now=0.0) == []
    assert orderings.take("b", 0, "0", is_final=False, now=0.0) == []
    assert orderings.refused == 1
    assert orderings.take("a", 2, "2", is_final=False, now=0.0) == []
    assert orderings.take("a", 3, "3", is_final=False, now=0.0) == []  # more out of order than is kept
    assert orderings.refused == 2
    assert orderings.take("a", 0, "0", is_final=False, now=0.0) == ["0", "1", "2"]
    assert orderings.take("a", 3, "3", is_final=True, now=0.0) == ["3"]
    assert orderings.take("b", 0, "0", is_final=False, now=0.0) == ["0"]  # a complete one makes room


def test_a_message_with_a_gap_is_given_up_in_time_and_a_complete_one_forgotten() -> None:
    orderings: Orderings[str] = Orderings(OrderingLimits(missing_seconds=30, max_age_seconds=300))
    orderings.take("gap", 1, "1", is_final=False, now=0.0)
    orderings.take("done", 0, "0", is_final=True, now=0.0)
    assert orderings.given_up(29.0) == []
    assert orderings.given_up(31.0) == ["gap"]
    assert len(orderings) == 0  # what is complete is remembered, and under way no more
    assert orderings.take("done", 0, "0", is_final=True, now=31.0) == []
    assert orderings.given_up(332.0) == []
    assert orderings.take("done", 0, "0", is_final=True, now=333.0) == ["0"]
