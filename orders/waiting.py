"""Being written."""


def wait_for_change(order_no, *, version, seconds):
    raise NotImplementedError
