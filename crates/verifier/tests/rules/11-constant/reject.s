# another function's code
> refused: outside the function
    mov eax, [@other]
    ret

# an index that may leave the function
> refused: outside the function
    mov eax, esi
    and eax, 255
    lea rcx, [.numbers]
    mov eax, [rcx + rax]
    ret
.numbers:
    bytes 01 02 03 04 05 06 07

# a constant that reaches over the function's end
> refused: outside the function
    mov rax, [.number]
    ret
.number:
    bytes 01 02 03 04
