def write(result, page, drawing):
    pass
