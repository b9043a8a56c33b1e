def write(result, page):
    pass
