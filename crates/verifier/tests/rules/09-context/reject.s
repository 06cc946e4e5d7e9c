# the instance's address
> refused: no field here
    mov rax, [rdi + instance]
    ret

# the activation
> refused: no field here
    mov rax, [rdi + activation]
    ret

# the stack limit is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + stack_limit], rax
    ret

# the host-call stub is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + host_call], rax
    ret

# an import's code is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + import], rax
    ret

# a memory's size is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + memory + 8], rax
    ret

# a lent memory's base is written
> refused: this may not be written
    mov rdx, [rdi + shared_memory]
    mov eax, esi
    mov [rdx], rax
    ret

# the host's part of an import
> refused: no field here
    mov rax, [rdi + import + 16]
    ret

# half of a pointer
> refused: eight bytes wide
    mov eax, [rdi + stack_limit]
    ret

# an immutable global is written
> refused: not mutable
    mov eax, esi
    mov [rdi + fixed], rax
    ret

# a global is written wider than it is
> refused: wider than the global
    mov eax, esi
    mov [rdi + count], rax
    ret

# a lent global is written wider than it is
> refused: wider than the global
    mov eax, esi
    mov rdx, [rdi + lent_global]
    mov [rdx], rax
    ret

# the meter of code that is not metered
> refused: no field here
    mov rax, [rdi - 64]
    ret

# between the globals, by an index
> refused: no field here
    mov eax, esi
    and eax, 8
    movups xmm0, [rdi + rax + count]
    ret

# a table's entry is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + entries], rax
    ret

# the meter's limit is written
> metered: yes
> refused: this may not be written
    mov eax, esi
    mov [rdi - 72], rax
    ret

# a part of the meter's limit
> metered: yes
> refused: eight bytes wide
    mov eax, [rdi - 72]
    ret

# what it wants, half
> metered: yes
> refused: this may not be written
    mov eax, esi
    mov [rdi - 80], eax
    ret

# the meter of code that is not metered is written
> refused: this may not be written
    mov eax, esi
    mov [rdi - 64], rax
    ret

# a memory's size is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + memory + 8], rax
    ret

# a table's size is written
> refused: this may not be written
    mov eax, esi
    mov [rdi + table + 8], rax
    ret

# a lent memory's size is written
> refused: this may not be written
    mov eax, esi
    mov rdx, [rdi + shared_memory]
    mov [rdx + 8], rax
    ret

# a lent table's size is written
> refused: this may not be written
    mov eax, esi
    mov rdx, [rdi + lent_table]
    mov [rdx + 8], rax
    ret

# before a lent global
> refused: wider than the global
    mov rdx, [rdi + lent_global]
    mov eax, [rdx - 4]
    ret

# a memory's base as a float's bits
> refused: no field here
    movsd xmm0, [rdi + memory]
    mov eax, esi
    ret

# a memory's size by halves
> refused: no field here
    pxor xmm0, xmm0
    pinsrw xmm0, [rdi + memory + 8], 0
    mov eax, esi
    ret

# an entry of a lent table as a vector
> refused: no field here
    mov rdx, [rdi + lent_table]
    mov rdx, [rdx]
    movups xmm0, [rdx]
    mov eax, esi
    ret

# the entries of a lent table of references
> refused: no field here
    mov rdx, [rdi + lent_references]
    mov rdx, [rdx]
    mov eax, esi
    ret

# the bound of a lent table of references
> refused: no field here
    mov rdx, [rdi + lent_references]
    mov rdx, [rdx + 16]
    mov eax, esi
    ret

# the owner of a lent table of references
> refused: no field here
    mov rdx, [rdi + lent_references]
    mov rdx, [rdx + 24]
    mov eax, esi
    ret

# an entry of a table of references
> refused: no field here
    mov rdx, [rdi + references]
    mov eax, esi
    ret
